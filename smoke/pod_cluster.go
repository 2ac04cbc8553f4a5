package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// resolve wants the name of the service to have its address.
func (t *Task) resolve(ctx context.Context) error {
	resolver := net.Resolver{PreferGo: true}
	addrs, err := resolver.LookupNetIP(ctx, "ip", t.Name)
	if err != nil {
		text := fmt.Sprintf("the name %s is not resolved by %s: %s", t.Name, nameServers(), whyUnresolved(err))
		if none, ok := errors.AsType[*net.DNSError](err); ok && none.IsNotFound {
			if _, err := resolver.LookupNetIP(ctx, "ip", "kubernetes.default.svc"); err == nil {
				text += "; it knows kubernetes.default.svc, so it does not learn of new services"
			}
		}
		return errors.New(text)
	}
	if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == t.Service.Addr() }) {
		return fmt.Errorf("the name %s is resolved by %s to %v, and the address is %v", t.Name, nameServers(), addrs, t.Service.Addr())
	}
	return nil
}

func whyUnresolved(err error) string {
	if failed, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case failed.IsNotFound:
			return "it answers that there is no such name"
		case failed.IsTimeout:
			return "no answer in time"
		}
		return failed.Err
	}
	return why(err)
}

// nameServers are those of the pod.
func nameServers() string {
	text, _ := os.ReadFile("/etc/resolv.conf")
	var servers []string
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "nameserver" {
			servers = append(servers, words[1])
		}
	}
	if len(servers) == 0 {
		return "the pod, which has no name server"
	}
	return strings.Join(servers, ", ")
}

// reachAPI wants any answer of the API server, by the address that each pod is
// told and with the certificate authority that each namespace has: who we are
// does not matter.
func (t *Task) reachAPI(ctx context.Context) error {
	at := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	pem, err := os.ReadFile(filepath.Join(rootCADir, "ca.crt"))
	verified := err == nil
	if verified {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM(pem)
	} else {
		conf.InsecureSkipVerify = true // nothing is told that is worth anything; it is said below
	}
	transport := &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+"/version", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("the API server does not answer at the cluster address %s: %s", at, why(err))
	}
	_ = response.Body.Close()
	if !verified {
		return partly{fmt.Errorf("the API server answers at %s, but nobody knows whether it is the right one: the namespace has no ConfigMap kube-root-ca.crt, which the controller manager makes", at)}
	}
	return nil
}
