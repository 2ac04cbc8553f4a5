package collectors

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"github.com/grapevine-mesh/grapevine/health"
)

// serviceObject is what is read of a Service.
type serviceObject struct {
	Spec struct {
		ClusterIP string `json:"clusterIP"`
		Ports     []struct {
			Port int `json:"port"`
		} `json:"ports"`
	} `json:"spec"`
}

// apiService is the path of the Service that leads to the API servers.
const apiService = "/api/v1/namespaces/default/services/kubernetes"

// address is the cluster address of the API's Service; once known it is
// remembered, since it never changes.
func (c *serviceCheck) address(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found != "" {
		return c.found, nil
	}
	if c.api == nil {
		return "", errors.New(c.absent)
	}
	var object serviceObject
	if err := c.api.get(ctx, apiService, nil, &object); err != nil {
		return "", errors.New("the API server " + err.Error())
	}
	if net.ParseIP(object.Spec.ClusterIP) == nil || len(object.Spec.Ports) == 0 {
		return "", errors.New("the Service default/kubernetes has no cluster address")
	}
	c.found = net.JoinHostPort(object.Spec.ClusterIP, strconv.Itoa(object.Spec.Ports[0].Port))
	return c.found, nil
}

// lookAPI reaches the API servers by their Service. When they cannot be
// reached directly either, it is not the rules of this node that are to blame.
func (c *serviceCheck) lookAPI(ctx context.Context, r *Report) {
	address, err := c.address(ctx)
	if err != nil {
		r.Verdict("default/kubernetes", health.Unknown, clip("the cluster address of the API is not known: "+err.Error(), maxReason), health.Evidence{})
		return
	}
	a := &assessment{about: "the API's Service at " + address}
	// What is left of the time is for asking whom to blame.
	half := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		half, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	conn, err := c.connect(half, r, a, address)
	if err == nil {
		err = c.handshake(half, conn)
		_ = conn.Close()
		r.Sample(&serviceUp, boolean(err == nil), address)
	}
	if err != nil {
		a.findings = nil // slow is nothing beside this
		switch direct := c.direct(ctx); {
		case c.api == nil:
			a.add(health.Critical, "cannot be reached from this node: %v", err)
		case direct != nil:
			a.add(health.Unknown, "cannot be reached, and neither can the API server itself, %s: it %v", c.api.host(), direct)
		default:
			a.add(health.Critical, "cannot be reached from this node, though the API server itself, %s, can: %v. The rules of kube-proxy, or of what takes its place, are missing or wrong here", c.api.host(), err)
		}
	}
	a.verdict(r, address)
}

// handshake makes sure that it is an API server of this cluster that answers.
func (c *serviceCheck) handshake(ctx context.Context, conn net.Conn) error {
	if c.api == nil {
		return nil // nothing to know it by
	}
	conf, err := rest.TLSConfigFor(&rest.Config{TLSClientConfig: c.api.trust()})
	if err != nil || conf == nil {
		return err
	}
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		return err
	}
	if conf.ServerName == "" {
		conf.ServerName = host
	}
	begun := time.Now()
	if err := tls.Client(conn, conf).HandshakeContext(ctx); err != nil {
		return errors.New("it connects, but then " + cause(err, time.Since(begun)))
	}
	return nil
}

// trust is what API servers of this cluster are known by.
func (k *kubeAPI) trust() rest.TLSClientConfig {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.access.config.TLSClientConfig
	return rest.TLSClientConfig{CAFile: t.CAFile, CAData: t.CAData, ServerName: t.ServerName, Insecure: t.Insecure}
}

// direct asks the API server itself; an answer that refuses is one.
func (c *serviceCheck) direct(ctx context.Context) error {
	if c.api == nil {
		return nil
	}
	err := c.api.get(ctx, apiService, nil, &serviceObject{})
	var e *kubeError
	if errors.As(err, &e) && e.code != 0 {
		return nil
	}
	return err
}

// proxyHealth is kube-proxy's answer to /healthz.
type proxyHealth struct {
	LastUpdated time.Time `json:"lastUpdated"`
	CurrentTime time.Time `json:"currentTime"`
}

// lookProxy asks kube-proxy how it is. Where nobody listens there is none.
func (c *serviceCheck) lookProxy(ctx context.Context, r *Report) {
	if c.settings.ProxyHealthURL == "" {
		return
	}
	a := &assessment{about: "kube-proxy"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.settings.ProxyHealthURL, nil)
	if err != nil {
		return // Validate has seen to that
	}
	answer := ask(c.proxy, req)
	if errors.Is(answer.err, syscall.ECONNREFUSED) {
		return
	}
	r.Sample(&serviceProxyUp, boolean(answer.code == http.StatusOK))
	var said proxyHealth
	switch err := json.Unmarshal(answer.body, &said); {
	case answer.err != nil:
		a.add(health.Critical, "does not answer %s: %s", c.settings.ProxyHealthURL, answer.why())
	case err != nil || said.CurrentTime.IsZero():
		a.add(health.Warning, "does not answer %s as kube-proxy does: %d, %s, %q", c.settings.ProxyHealthURL, answer.code, answer.mediaWords(), answer.words())
	default:
		age := max(0, said.CurrentTime.Sub(said.LastUpdated).Seconds())
		r.Sample(&serviceProxyAge, age)
		if answer.code != http.StatusOK {
			a.add(health.Critical, "answers %d: its rules are %s old", answer.code, seconds(age))
		}
	}
	a.verdict(r, "kube-proxy")
}
