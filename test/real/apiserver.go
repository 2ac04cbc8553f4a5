package real

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// serviceCIDR is the range of cluster addresses; the first of them is the API
// server's own.
const serviceCIDR = "10.0.0.0/24"

// APIServerOptions says what API server StartAPIServer makes. Binary, Dir and
// EtcdURL are required.
type APIServerOptions struct {
	Binary, Dir string
	EtcdURL     string    // several servers may share one etcd
	Address     string    // to listen on; empty: 127.0.0.1
	Port        int       // 0: a free one; several servers of one cluster have the same
	PKI         *PKI      // nil: one of its own
	NotAfter    time.Time // of the serving certificate; zero: as of CertOptions
	Anonymous   bool      // whether requests without credentials are let in
	ExtraArgs   []string
	Log         io.Writer
}

// APIServer is a kube-apiserver with RBAC, and by itself no nodes.
type APIServer struct {
	*Process
	URL             string
	CAFile          string
	Kubeconfig      string // of an administrator, by client certificate
	TokenKubeconfig string // of an administrator, by bearer token
	Token           string

	dir string
	pki *PKI

	notAfter time.Time // of the serving certificate

	mu     sync.Mutex        // guards issued
	issued map[string]string // path of the kubeconfig, by user
}

// StartAPIServer returns when /readyz of the new server answers 200. ctx
// bounds the start, not the life of the server.
func StartAPIServer(ctx context.Context, o APIServerOptions) (*APIServer, error) {
	o.Log = shared(o.Log)
	var s *APIServer
	err := withFreshPorts(func() (err error) {
		s, err = startAPIServer(ctx, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("starting kube-apiserver: %w", err)
	}
	return s, nil
}

func startAPIServer(ctx context.Context, o APIServerOptions) (*APIServer, error) {
	port, pki := o.Port, o.PKI
	var err error
	if port == 0 {
		if port, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if pki == nil {
		if pki, err = NewPKI(filepath.Join(o.Dir, "pki"), "kubernetes-ca"); err != nil {
			return nil, err
		}
	}
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	s := &APIServer{URL: "https://" + net.JoinHostPort(o.Address, strconv.Itoa(port)), CAFile: pki.CAFile(), Token: rand.Text(), dir: o.Dir, pki: pki, notAfter: o.NotAfter}
	if err := s.writeKubeconfigs(); err != nil {
		return nil, err
	}
	args, err := s.args(port, o)
	if err != nil {
		return nil, err
	}
	s.Process = NewProcess(Command{Name: "kube-apiserver", Path: o.Binary, Args: args, Log: o.Log})
	if err := s.Process.Start(); err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Start runs a server that has ended again, on the same port, and returns
// when it is ready.
func (s *APIServer) Start(ctx context.Context) error {
	if err := s.Process.Start(); err != nil {
		return err
	}
	return s.awaitReady(ctx)
}

func (s *APIServer) awaitReady(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	return awaitReady(ctx, s.Process, answers200(client, s.URL+"/readyz"))
}

// client asks as an administrator. It keeps no connection.
func (s *APIServer) client() (*http.Client, error) {
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	conf := &tls.Config{RootCAs: roots}
	if !s.notAfter.IsZero() { // one that has expired must not keep it from being ready
		conf.Time = func() time.Time { return s.notAfter.Add(-time.Minute) }
	}
	return &http.Client{Transport: withToken{s.Token, &http.Transport{DisableKeepAlives: true, TLSClientConfig: conf}}}, nil
}

func (s *APIServer) args(port int, o APIServerOptions) ([]string, error) {
	serving := loopback()
	serving.Server, serving.NotAfter = true, o.NotAfter
	// The first address of the service range, and the names pods know it by.
	address := net.ParseIP(o.Address)
	serving.IPs = append(serving.IPs, net.IPv4(10, 0, 0, 1), address)
	serving.DNS = append(serving.DNS, "kubernetes", "kubernetes.default", "kubernetes.default.svc")
	cert, err := s.pki.Issue("apiserver-serving-"+o.Address, serving)
	if err != nil {
		return nil, err
	}
	tokens, saKey := filepath.Join(o.Dir, "tokens.csv"), s.serviceAccountKey()
	// The API server is a client of kubelets, for logs and exec.
	client, err := s.pki.Issue("apiserver-kubelet-client", CertOptions{Client: true, Org: []string{"system:masters"}})
	if err != nil {
		return nil, err
	}
	line := s.Token + `,token-admin,token-admin,"system:masters"` + "\n"
	if err := os.WriteFile(tokens, []byte(line), 0o600); err != nil {
		return nil, fmt.Errorf("writing the token: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the service accounts' key: %w", err)
	}
	if err := writeKey(saKey, key); err != nil {
		return nil, err
	}
	reconciler := "lease"
	if address.IsLoopback() {
		// A loopback address may not stand in the kubernetes service's
		// endpoints, and the default reconciler would refuse to start.
		reconciler = "none"
	}
	return append([]string{
		"--bind-address=" + o.Address,
		"--secure-port=" + strconv.Itoa(port),
		"--advertise-address=" + o.Address,
		"--endpoint-reconciler-type=" + reconciler,
		"--etcd-servers=" + o.EtcdURL,
		"--tls-cert-file=" + cert.CertFile,
		"--tls-private-key-file=" + cert.KeyFile,
		"--client-ca-file=" + s.CAFile,
		"--kubelet-certificate-authority=" + s.CAFile,
		"--kubelet-client-certificate=" + client.CertFile,
		"--kubelet-client-key=" + client.KeyFile,
		"--token-auth-file=" + tokens,
		"--anonymous-auth=" + strconv.FormatBool(o.Anonymous),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + saKey,
		"--service-account-signing-key-file=" + saKey,
		"--service-cluster-ip-range=" + serviceCIDR,
	}, o.ExtraArgs...), nil
}

// serviceAccountKey is the file of the key that service accounts' tokens are
// signed with.
func (s *APIServer) serviceAccountKey() string {
	return filepath.Join(s.dir, "service-accounts.key")
}

// withToken adds a bearer token to every request.
type withToken struct {
	token string
	next  http.RoundTripper
}

func (w withToken) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+w.token)
	return w.next.RoundTrip(req)
}
