package mesh

import (
	"context"
	"sync"
	"time"

	"github.com/go-kit/log/level"
	"github.com/prometheus/client_golang/prometheus"
)

// renewInterval is how soon a renewed certificate is in force without anybody
// saying so.
const renewInterval = 15 * time.Second

// renewal is what was last seen of the certificate files.
type renewal struct {
	mu   sync.Mutex // one reading at a time; guards all below
	said string     // about files that cannot be used
}

// RenewCertificate reads the certificate files again and puts them into force
// if they have changed. When anything is wrong with them the old ones stay in
// force: a pair may be half written.
func (m *Mesh) RenewCertificate() error {
	if m.cfg.TLS == nil {
		return nil
	}
	m.renewal.mu.Lock()
	defer m.renewal.mu.Unlock()
	err := m.renewCertificate()
	switch {
	case err == nil:
		m.renewal.said = ""
	case m.renewal.said != err.Error():
		m.renewal.said = err.Error()
		level.Error(m.logger).Log("msg", "the mesh certificate's files cannot be used, the old ones stay in force", "err", err)
	}
	return err
}

func (m *Mesh) renewCertificate() error {
	content, err := m.cfg.TLS.read()
	if err != nil {
		return err
	}
	before := m.trust.identity.Load()
	if content.sum() == before.content {
		return nil
	}
	id, err := content.identity(m.cfg.Cluster, m.cfg.Node)
	if err != nil {
		return err
	}
	m.trust.renew(id)
	m.store.Renew(id.encoded, id.frameKey)
	m.exchange.Renew()
	level.Info(m.logger).Log("msg", "the mesh certificate was renewed", "until", id.until.Format(time.RFC3339), "before", before.until.Format(time.RFC3339))
	return nil
}

// followCertificates takes in renewed files until ctx ends. It may hang with
// the disk.
func (m *Mesh) followCertificates(ctx context.Context) {
	if m.cfg.TLS == nil {
		return
	}
	tick := time.NewTicker(renewInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = m.RenewCertificate() // it has logged why
		}
	}
}

// certificateCollector exports when this node's own certificate ends.
type certificateCollector struct{ trust *trust }

var certificateExpiryDesc = prometheus.NewDesc("grapevine_mesh_certificate_expiry_timestamp_seconds",
	"When the certificate with which this node takes part in the mesh expires, or the first authority above it, in seconds since the epoch. Only with --mesh.tls-cert.", nil, nil)

// Describe implements prometheus.Collector.
func (c certificateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- certificateExpiryDesc }

// Collect implements prometheus.Collector.
func (c certificateCollector) Collect(ch chan<- prometheus.Metric) {
	if until := c.trust.identity.Load().until; !until.IsZero() {
		ch <- prometheus.MustNewConstMetric(certificateExpiryDesc, prometheus.GaugeValue, float64(until.Unix()))
	}
}
