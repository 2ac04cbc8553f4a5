package real

import (
	"fmt"
	"net"
	"sync"
)

// claims holds a socket for each port that this program has claimed. They are
// never closed: the claim ends with the program.
var claims struct {
	sync.Mutex
	held map[int]net.Listener
}

// claim reports whether the port is this program's to hand out. Programs tell
// each other by sockets in the abstract namespace, which leave no file behind.
func claim(port int) bool {
	claims.Lock()
	defer claims.Unlock()
	if claims.held[port] != nil {
		return false // handed out already, or about to be
	}
	l, err := net.Listen("unix", fmt.Sprintf("@grapevine-test-port-%d", port))
	if err != nil {
		return false
	}
	if claims.held == nil {
		claims.held = map[int]net.Listener{}
	}
	claims.held[port] = l
	return true
}
