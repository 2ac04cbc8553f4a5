package smoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/grapevine-mesh/grapevine/health"
)

// logs reads what the servers have said, through the API server and the
// kubelet of each.
func (r *run) logs(ctx context.Context) verdict {
	return r.eachServer(func(pod, node string) verdict {
		greeting := (&Task{Run: r.id, Node: node}).greeting()
		for {
			text, err := r.c.get(pods, r.s.Namespace, pod).SubResource("log").Param("limitBytes", "4096").DoRaw(ctx)
			switch {
			case err != nil && answered(err):
				return r.refusal(ctx, "read the log of "+pod+" from the kubelet on "+node, err)
			case err == nil && strings.Contains(string(text), greeting):
				return verdict{}
			}
			select {
			case <-ctx.Done():
				if err == nil {
					err = fmt.Errorf("it lacks what the pod has said: %q", clip(string(text), 100))
				}
				return verdictf(health.Critical, "the log of %s cannot be read from the kubelet on %s: %s", pod, node, why(err))
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
}

// eachServer joins what is found of each.
func (r *run) eachServer(look func(pod, node string) verdict) verdict {
	var all []verdict
	for i, name := range r.podNames(roleServer) {
		v := look(name, r.report.Nodes[i])
		if v.status != health.OK {
			v = v.on(r.report.Nodes[i])
		}
		all = append(all, v)
	}
	return join(all)
}

// exec runs a program in each server.
func (r *run) exec(ctx context.Context) verdict {
	return r.eachServer(func(pod, node string) verdict {
		out, err := r.c.exec(ctx, r.s.Namespace, pod, "/grapevine", "version")
		switch {
		case apierrors.IsForbidden(err):
			if missing := r.missingRights(ctx); missing != "" {
				return verdictf(health.Unknown, "the API server %s does not allow this user to %s", r.report.Server, missing)
			}
			fallthrough
		case err != nil:
			return verdictf(health.Critical, "no program can be run in %s through the kubelet on %s: %s", pod, node, why(err))
		case !strings.HasPrefix(out, "grapevine, version"):
			return verdictf(health.Critical, "a program that was run in %s through the kubelet on %s has said %q", pod, node, clip(out, 100))
		}
		return verdict{}
	})
}

// maxOutput bounds what is kept of what a program says, in bytes.
const maxOutput = 4 << 10

// head keeps the first bytes that are written to it.
type head struct{ kept []byte }

// Write implements io.Writer.
func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), maxOutput-len(h.kept))]...)
	return len(b), nil
}

// exec runs a program in a pod and returns what it has said, once it has ended
// well. Any way to say no is an error of the API, if it is told as one.
func (c *Client) exec(ctx context.Context, namespace, pod string, command ...string) (string, error) {
	config := c.api.Config()
	target := c.request(http.MethodGet, pods, namespace).Name(pod).SubResource("exec").
		Param("container", "smoke").Param("stdout", "true").URL()
	target.RawQuery += "&" + url.Values{"command": command}.Encode()
	// Version 5 came with Kubernetes 1.29.
	program, err := remotecommand.NewWebSocketExecutorForProtocols(config, http.MethodGet, target.String(), "v5.channel.k8s.io", "v4.channel.k8s.io")
	if err != nil {
		return "", err
	}
	var out head
	err = program.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out})
	if refused, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok {
		err = refused.Cause
	}
	if err != nil {
		return "", err // out may still be written to
	}
	return string(out.kept), nil
}
