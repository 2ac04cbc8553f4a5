package smoke

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// clientOf is a client of a server that answers so, by TLS: no token is sent
// without that.
func clientOf(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewTLSServer(answer)
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(path, []byte(`apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "`+s.URL+`", insecure-skip-tls-verify: true}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: secret}}]
`), 0o600))
	return needClient(t, path)
}

func TestExecRefused(t *testing.T) {
	t.Parallel()
	var asked *http.Request
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "you may not"}`))
	})
	_, err := c.exec(t.Context(), "ns", "pod", "/grapevine", "version")
	if !apierrors.IsForbidden(err) || why(err) != "you may not" {
		t.Errorf("%v", err)
	}
	if got := asked.URL.String(); got != "/api/v1/namespaces/ns/pods/pod/exec?container=smoke&stdout=true&command=%2Fgrapevine&command=version" {
		t.Errorf("asked for %s", got)
	}
	if got := asked.Header.Get("Authorization") + ", " + asked.UserAgent(); got != "Bearer secret, grapevine" {
		t.Errorf("as %s", got)
	}
}

func TestExecWithoutWebSocket(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no upgrades\nhere", http.StatusBadGateway)
	})
	_, err := c.exec(t.Context(), "ns", "pod", "/grapevine")
	if err == nil || !strings.HasSuffix(why(err), "(502 Bad Gateway): no upgrades here") {
		t.Errorf("%v", err)
	}
}

func TestExecThatIsSilent(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)
	c := clientOf(t, func(http.ResponseWriter, *http.Request) { <-end })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.exec(ctx, "ns", "pod", "/grapevine"); err == nil || why(err) != "no answer in time" {
		t.Errorf("%v", err)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	var h head
	for range 3 {
		if n, err := h.Write(make([]byte, maxOutput/2+1)); n != maxOutput/2+1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if len(h.kept) != maxOutput {
		t.Errorf("kept %d bytes", len(h.kept))
	}
}
