package collectors

import (
	"net/url"
	"strconv"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// etcdNames knows the members' names from the newest lists that endpoints
// gave. They are kept, so that they stay the same in labels and reasons while
// no list is to be had. All endpoints share one: what one of them tells names
// the member behind another that hangs.
type etcdNames struct {
	mu   sync.Mutex // guards what follows
	ids  map[uint64]string
	urls map[string]string // by host:port of a client URL
}

// learn takes over a member list, beside those of other clusters.
func (n *etcdNames) learn(members []*pb.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil || len(n.ids) > maxEtcdNames {
		n.ids, n.urls = make(map[uint64]string), make(map[string]string)
	}
	taken := make(map[string]bool)
	for _, m := range members[:min(len(members), maxEtcdPeers)] {
		name := clip(m.GetName(), 80)
		if taken[name] && name != "" { // etcd allows it; labels must differ
			name += "-" + strconv.FormatUint(m.GetID(), 16)
		}
		taken[name] = true
		n.ids[m.GetID()] = name
		for _, client := range m.GetClientURLs() {
			if u, err := url.Parse(client); err == nil {
				n.urls[u.Host] = name
			}
		}
	}
}

// maxEtcdNames bounds what is remembered while members come and go.
const maxEtcdNames = 256

// name is a member's name, or its id in hexadecimal, as etcdctl prints it,
// as long as it has none.
func (n *etcdNames) name(id uint64) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name := n.ids[id]; name != "" {
		return name
	}
	return strconv.FormatUint(id, 16)
}

// behind is the name of the member at an endpoint, by its id when that is
// known, else by the client URL it advertises; empty when neither tells.
func (n *etcdNames) behind(host string, id uint64) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name := n.ids[id]; id != 0 && name != "" {
		return name
	}
	return n.urls[host]
}
