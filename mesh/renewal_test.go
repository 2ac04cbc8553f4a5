package mesh

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// secured is a mesh of nodes with certificates that end after life.
func secured(t *bubble, ca *authority, life time.Duration, names ...string) []*peer {
	t.Helper()
	var peers []*peer
	for _, name := range names {
		cfg := t.config(name)
		cfg.TLS = ca.issue(t, name)
		ca.renew(t, cfg.TLS, name, time.Now().Add(-time.Hour), time.Now().Add(life))
		if len(peers) > 0 {
			cfg.Join = []string{peers[0].GossipAddr()}
		}
		peers = append(peers, start(t, cfg))
	}
	for _, p := range peers {
		p.sees(names...)
	}
	return peers
}

// A certificate that ends within seconds: who renews it in time is not missed
// for a moment, who does not is refused, whatever connections are open.
func TestCertificatesEnd(t *testing.T) {
	virtually(t, func(t *bubble) {
		ca := newAuthority(t)
		const life = 12 * time.Second
		end := time.Now().Add(life)
		peers := secured(t, ca, life, "a", "b", "late")
		a, b, late := peers[0], peers[1], peers[2]
		stop := watchLosses([]*peer{a, b})
		for _, p := range []*peer{a, b} {
			ca.renew(t, p.cfg.TLS, p.cfg.Node, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
			if err := p.RenewCertificate(); err != nil {
				t.Fatal(err)
			}
			if got := p.gauge("grapevine_mesh_certificate_expiry_timestamp_seconds"); time.Until(time.Unix(int64(got), 0)) < 50*time.Minute {
				t.Errorf("%s says that its certificate ends at %v", p.cfg.Node, got)
			}
			if !strings.Contains(p.logs.String(), "the mesh certificate was renewed") {
				t.Errorf("%s does not log the renewal", p.cfg.Node)
			}
		}
		time.Sleep(time.Until(end) - time.Second)
		if lost := stop(); len(lost) > 0 {
			t.Errorf("before the old certificates ended:\n%s", strings.Join(lost, "\n"))
		}
		time.Sleep(time.Until(end) + time.Second)
		a.refuses("expired")
		b.refuses("expired")
		a.sees("a", "b")
		stop = watchLosses([]*peer{a, b})
		time.Sleep(5 * time.Second)
		for _, lost := range stop() {
			if !strings.Contains(lost, "late") {
				t.Error(lost)
			}
		}
		for _, p := range []*peer{a, b} {
			if n := strings.Count(p.logs.String(), "reason=expired"); n != 1 {
				t.Errorf("%s logged it %d times within a minute, %v refusals", p.cfg.Node, n, p.count("grapevine_mesh_refused_total", "expired"))
			}
		}

		// It comes back with the renewed certificate, without a restart.
		ca.renew(t, late.cfg.TLS, "late", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err := late.RenewCertificate(); err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			p.sees("a", "b", "late")
		}
	})
}

// Nobody says that the files have changed, and each is seen half written.
func TestCertificateFilesChange(t *testing.T) {
	virtually(t, func(t *bubble) {
		ca := newAuthority(t)
		peers := secured(t, ca, time.Hour, "a", "b")
		a, b := peers[0], peers[1]
		stop := watchLosses(peers)
		before := a.gauge("grapevine_mesh_certificate_expiry_timestamp_seconds")
		certificate, err := os.ReadFile(a.cfg.TLS.Cert)
		if err != nil {
			t.Fatal(err)
		}
		half := func(file string, keep int) {
			t.Helper()
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, whole[:keep], 0o600); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if a.RenewCertificate() == nil {
					t.Errorf("the first %d bytes of %s pass", keep, file)
				}
			}
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		half(a.cfg.TLS.Cert, 0)
		half(a.cfg.TLS.Key, 30)
		other := newAuthority(t)
		trusting(t, a.cfg.TLS, ca, other)
		half(a.cfg.TLS.CA, 900)
		if n := strings.Count(a.logs.String(), "cannot be used, the old ones stay in force"); n != 3 {
			t.Errorf("three mistakes were logged %d times:\n%s", n, a.logs)
		}
		ca.renew(t, a.cfg.TLS, "somebody else", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		if err := a.RenewCertificate(); err == nil || !strings.Contains(err.Error(), "not of a") {
			t.Errorf("the certificate of another: %v", err)
		}
		ca.renew(t, a.cfg.TLS, "a", time.Now().Add(-time.Hour), time.Now().Add(-time.Minute))
		if err := a.RenewCertificate(); err == nil || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("an expired certificate: %v", err)
		}
		if err := os.WriteFile(a.cfg.TLS.Cert, certificate, 0o600); err != nil { // with the key of another
			t.Fatal(err)
		}
		if err := a.RenewCertificate(); err == nil {
			t.Error("a certificate and the key of another pass")
		}
		if got := a.gauge("grapevine_mesh_certificate_expiry_timestamp_seconds"); got != before {
			t.Errorf("the certificate in force ends at %v, want %v", got, before)
		}

		ca.renew(t, a.cfg.TLS, "a", time.Now().Add(-time.Hour), time.Now().Add(50*time.Minute))
		a.eventually("takes the renewed certificate in by itself", func() (string, bool) {
			got := a.gauge("grapevine_mesh_certificate_expiry_timestamp_seconds")
			return fmt.Sprint(got), got != before
		})
		time.Sleep(3 * time.Second)
		a.sees("a", "b")
		b.sees("a", "b")
		if lost := stop(); len(lost) > 0 {
			t.Errorf("meanwhile:\n%s", strings.Join(lost, "\n"))
		}
	})
}

// An authority is replaced by another, node by node.
func TestAuthorityRollover(t *testing.T) {
	virtually(t, func(t *bubble) {
		old, next := newAuthority(t), newAuthority(t)
		peers := secured(t, old, time.Hour, "a", "b", "c")
		stop := watchLosses(peers)
		each := func(step string, do func(p *peer)) {
			t.Helper()
			for _, p := range peers {
				do(p)
				if err := p.RenewCertificate(); err != nil {
					t.Fatalf("%s: %s: %v", step, p.cfg.Node, err)
				}
				time.Sleep(500 * time.Millisecond)
			}
			if lost := stop(); len(lost) > 0 {
				t.Fatalf("%s:\n%s", step, strings.Join(lost, "\n"))
			}
			stop = watchLosses(peers)
		}
		each("all trust both", func(p *peer) { trusting(t, p.cfg.TLS, old, next) })
		each("all have a certificate of the new one", func(p *peer) {
			next.renew(t, p.cfg.TLS, p.cfg.Node, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		})
		each("all trust the new one alone", func(p *peer) { trusting(t, p.cfg.TLS, next) })
		time.Sleep(3 * time.Second)
		for _, p := range peers {
			p.sees("a", "b", "c")
		}
		if lost := stop(); len(lost) > 0 {
			t.Errorf("in the end:\n%s", strings.Join(lost, "\n"))
		}
		// Who comes with the old one is a stranger now.
		cfg := t.config("d")
		cfg.TLS, cfg.Join = old.issue(t, "d"), []string{peers[0].GossipAddr()}
		trusting(t, cfg.TLS, old, next)
		start(t, cfg)
		peers[0].refuses("authority")
		peers[0].sees("a", "b", "c")
	})
}
