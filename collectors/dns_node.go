package collectors

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"path/filepath"

	"github.com/miekg/dns"
)

const (
	resolvConf = "/etc/resolv.conf"
	// maxResolvers is how many name servers glibc and the kubelet use of a
	// file (resolv.conf(5)).
	maxResolvers = 3
)

// nodeLocalDNS is where NodeLocal DNSCache listens unless told otherwise, and
// nodeLocalDevice the network device it makes.
var nodeLocalDNS = netip.AddrFrom4([4]byte{169, 254, 20, 10})

const nodeLocalDevice = "class/net/nodelocaldns"

// dnsNode is what the files of this node say about DNS.
type dnsNode struct {
	kubelet   kubeletConfig
	resolvers []resolverFile // none when there is no such file
	nodeLocal bool           // NodeLocal DNSCache is here
}

// resolverFile is a resolv.conf.
type resolverFile struct {
	path    string
	forPods bool // the kubelet hands it on to pods, those of the cluster's DNS among them
	servers []netip.AddrPort
	ignored []string // name servers after the third
	invalid []string // name servers that are no addresses
	search  []string
	err     error // why it could not be read
}

// readDNSNode reads the files anew: a DHCP client or an operator changes them
// at any time. port is where the servers they name listen.
func readDNSNode(paths Paths, port uint16) dnsNode {
	node := dnsNode{kubelet: readKubeletConfig(paths)}
	_, err := os.Stat(filepath.Join(paths.Sys, nodeLocalDevice))
	node.nodeLocal = err == nil
	forPods := resolvConf
	if node.kubelet.ResolvConf != nil {
		forPods = *node.kubelet.ResolvConf // empty: pods get none
	}
	files := []string{resolvConf}
	if path.IsAbs(forPods) && path.Clean(forPods) != resolvConf {
		files = append(files, path.Clean(forPods))
	}
	for _, file := range files {
		f := readResolverFile(paths, file, port)
		f.forPods = node.kubelet.file != "" && file == path.Clean(forPods)
		if !errors.Is(f.err, fs.ErrNotExist) || f.forPods {
			node.resolvers = append(node.resolvers, f)
		}
	}
	return node
}

func readResolverFile(paths Paths, file string, port uint16) resolverFile {
	f := resolverFile{path: file}
	content, err := paths.read(file, maxNodeFile)
	if err != nil {
		f.err = err
		return f
	}
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(content))
	if err != nil {
		f.err = err
		return f
	}
	f.search = conf.Search
	for i, server := range conf.Servers {
		address, err := netip.ParseAddr(server)
		switch {
		case i >= maxResolvers:
			f.ignored = append(f.ignored, server)
		case err != nil:
			f.invalid = append(f.invalid, server)
		default:
			f.servers = append(f.servers, netip.AddrPortFrom(address.Unmap(), port))
		}
	}
	return f
}

// podSearch is the search list of a pod in the namespace default.
func (n *dnsNode) podSearch(domain string) []string {
	search := []string{"default.svc." + domain, "svc." + domain, domain}
	for _, f := range n.resolvers {
		if f.forPods {
			search = append(search, f.search...)
		}
	}
	return search
}
