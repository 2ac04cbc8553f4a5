package echo

import (
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of the TCP side.
const (
	tcpConnections = 64 // more wait in the kernel's queue
	tcpPatience    = 2 * time.Second
	tcpHeader      = 4096
)

// packets, pages are purposes of keys: nobody can use the one to forge the other.
const (
	packets = "echo packets"
	pages   = "echo pages"
)

// nonceSize is that of the random bytes, in hexadecimal, that a GET asks to
// have signed.
const nonceSize = 32

func (r *Responder) httpServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo/{nonce}/{signature}", r.page)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		r.requests.tcp[outcomeMalformed].Inc()
		http.Error(w, "grapevine's echo responder", http.StatusNotFound)
	})
	s := &http.Server{
		Handler: mux, ReadTimeout: tcpPatience, WriteTimeout: tcpPatience, MaxHeaderBytes: tcpHeader,
		ErrorLog: stdlog.New(io.Discard, "", 0), // of what scanners send
	}
	s.SetKeepAlivesEnabled(false)
	return s
}

func (r *Responder) serveTCP(s *http.Server) error {
	return s.Serve(netutil.LimitListener(r.tcp, tcpConnections))
}

// page proves to the asker that it has reached this node and no other server.
func (r *Responder) page(w http.ResponseWriter, request *http.Request) {
	nonce, signature := request.PathValue("nonce"), request.PathValue("signature")
	keys := r.cfg.Keys.all()
	i := slices.IndexFunc(keys, func(key []byte) bool { return hmac.Equal([]byte(signature), []byte(pageRequest(key, nonce))) })
	if len(nonce) != nonceSize || i < 0 {
		r.requests.tcp[outcomeUnsigned].Inc()
		http.Error(w, "signed with another key, or with none", http.StatusForbidden)
		return
	}
	r.requests.tcp[outcomeAnswered].Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s\n%s\n", pageAnswer(keys[i], nonce, r.cfg.Node), r.cfg.Node)
}

// pageRequest and pageAnswer are the signatures, in hexadecimal, of a GET and
// of what node answers to it.
func pageRequest(key []byte, nonce string) string {
	return hex.EncodeToString(newSigner(key, pages).of([]byte("request " + nonce)))
}

func pageAnswer(key []byte, nonce, node string) string {
	return hex.EncodeToString(newSigner(key, pages).of([]byte("answer " + nonce + " " + node)))
}
