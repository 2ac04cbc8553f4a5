package collectors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/grapevine-mesh/grapevine/health"
)

func etcdSpec() Spec {
	return Spec{
		Name:     "etcd",
		Summary:  "health, latency, leader, database and disk times of every etcd endpoint",
		Why:      "All state of Kubernetes is in etcd: when it is slow the API server times out, and everything that leans on it fails in ways that hide the cause.",
		Remedy:   "Ask it yourself: etcdctl endpoint status --cluster -w table, and etcdctl alarm list. A slow member nearly always has a slow disk: look at the check disk on its node. After NOSPACE: compact, defragment, disarm.",
		Subject:  `endpoint as host:port; "members" for the member list against the endpoints and the peer URLs`,
		Metrics:  etcdMetrics,
		Settings: func() Settings { return defaultEtcdSettings() },
	}
}

// etcdCheck asks etcd endpoints, each over a client it keeps between runs.
type etcdCheck struct {
	settings etcdSettings
	files    tlsFiles
	logger   log.Logger
	targets  []*etcdTarget
	names    *etcdNames
	peers    etcdPeers

	mu      sync.Mutex // guards what follows
	loaded  string     // stamp of the credential files last read
	ready   bool       // the targets have credentials
	closed  bool
	refused string // why the credentials could not be read; empty when they were
}

// New detects the member of this node when no endpoints are configured.
func (s *etcdSettings) New(env Env) (Collector, error) {
	c := &etcdCheck{
		settings: *s,
		files:    tlsFiles{CA: s.CAFile, Cert: s.CertFile, Key: s.KeyFile},
		logger:   log.With(env.Logger, "check", "etcd"),
		names:    &etcdNames{},
	}
	endpoints := s.Endpoints
	if len(endpoints) > 0 {
		// What was written down by hand must be right from the start.
		if _, err := c.credentials(); err != nil {
			return nil, err
		}
	} else {
		files, err := detectEtcd(env.Paths.Root)
		if err != nil {
			return nil, err
		}
		c.files, endpoints = files, []string{localEtcd}
	}
	reads := etcdReadSeconds.Histogram(env.Registry)
	for i, endpoint := range endpoints {
		u, err := parseEndpoint(endpoint)
		if err != nil {
			return nil, fmt.Errorf("endpoints: %w", err)
		}
		metrics := *u
		if len(s.MetricsURLs) > 0 {
			m, err := parseEndpoint(s.MetricsURLs[i])
			if err != nil {
				return nil, fmt.Errorf("metrics_urls: %w", err)
			}
			metrics = *m
		}
		if metrics.Path == "" || metrics.Path == "/" {
			metrics.Path = "/metrics"
		}
		c.targets = append(c.targets, &etcdTarget{
			url: u, subject: u.Host, metricsURL: metrics.String(),
			settings: &c.settings, reads: reads, names: c.names, peers: &c.peers,
			history: newEtcdHistory(time.Now), door: etcdDoor{url: u},
		})
	}
	return c, nil
}

// Name is the check's name.
func (c *etcdCheck) Name() string { return "etcd" }

// Collect asks every endpoint at once, so that a slow one takes nobody
// else's time, and then holds what they said against each other.
func (c *etcdCheck) Collect(ctx context.Context, r *Report) error {
	ctx, cancel := finishing(ctx)
	defer cancel()
	c.renew()
	c.mu.Lock()
	refused := c.refused
	c.mu.Unlock()
	var asked parallel
	var first sync.Once
	listed := func(members []*pb.Member) {
		first.Do(func() { asked.run(func() { c.peers.ask(ctx, members) }) })
	}
	switch start := time.Now(); {
	case refused != "" || start.Before(c.peers.next):
		first.Do(func() {})
	default:
		c.peers.next = start.Add(knockEvery)
		if c.peers.list != nil { // as nobody may tell this time
			listed(c.peers.list)
		}
	}
	for _, t := range c.targets {
		asked.run(func() {
			if refused != "" {
				r.Sample(&etcdUp, 0, t.subject)
				r.Verdict(t.subject, health.Unknown, clip("etcd endpoint "+t.subject+" cannot be asked: "+refused, maxReason), health.Evidence{})
				return
			}
			t.look(ctx, r, listed)
		})
	}
	asked.wait()
	if refused == "" {
		c.judgeMembers(r)
	}
	return nil
}

// Close ends the connections. The check must not run again.
func (c *etcdCheck) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	var errs []error
	for _, t := range c.targets {
		errs = append(errs, t.close())
	}
	return errors.Join(errs...)
}

// renew reads the credentials when their files have changed, and has the
// targets connect anew. What cannot be read leaves the old ones in use.
func (c *etcdCheck) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := stamp(c.files.CA, c.files.Cert, c.files.Key, c.settings.PasswordFile)
	if c.closed || c.ready && c.loaded == now {
		return
	}
	creds, err := c.credentials()
	if err != nil {
		if !c.ready {
			c.refused = err.Error()
			return
		}
		level.Warn(c.logger).Log("msg", "credentials have changed and cannot be read; going on with the old ones", "err", err)
		c.loaded = now
		return
	}
	c.loaded, c.refused, c.ready = now, "", true
	c.peers.use(creds.tls)
	for _, t := range c.targets {
		t.use(creds)
	}
}

// credentials reads the certificate and password files.
func (c *etcdCheck) credentials() (etcdCredentials, error) {
	conf, err := c.files.config()
	if err != nil {
		return etcdCredentials{}, err
	}
	creds := etcdCredentials{tls: conf, username: c.settings.Username}
	if c.settings.PasswordFile != "" {
		password, err := os.ReadFile(c.settings.PasswordFile)
		if err != nil {
			return etcdCredentials{}, fmt.Errorf("reading password file: %w", err)
		}
		creds.password = strings.TrimRight(string(password), "\r\n")
	}
	return creds, nil
}
