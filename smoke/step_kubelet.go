package smoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		switch refused, ok := errors.AsType[*execRefused](err); {
		case ok && refused.code == http.StatusForbidden:
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

// execRefused is an answer of the API server in place of the change to a
// WebSocket.
type execRefused struct {
	code int
	text string
}

// Error implements error.
func (e *execRefused) Error() string { return fmt.Sprintf("%d, %s", e.code, e.text) }

// The channels of an exec, by the first byte of each message.
const (
	channelStdout = 1
	channelStatus = 3
)

// exec runs a program in a pod and returns what it has said, once it has ended
// well.
func (c *Client) exec(ctx context.Context, namespace, pod string, command ...string) (string, error) {
	client, target := c.raw(namespace, pod, "exec", url.Values{"command": command, "container": {"smoke"}, "stdout": {"true"}, "stderr": {"true"}})
	s, err := openWebSocket(ctx, client, target, "v5.channel.k8s.io, v4.channel.k8s.io")
	if err != nil {
		return "", err
	}
	defer s.close()
	var out strings.Builder
	for {
		message, err := s.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the connection ended before the program did")
			}
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return "", err
		}
		if len(message) == 0 {
			continue
		}
		switch message[0] {
		case channelStdout:
			out.Write(message[1:])
		case channelStatus:
			var status metav1.Status
			if err := json.Unmarshal(message[1:], &status); err != nil {
				return "", fmt.Errorf("the end of the program: %w", err)
			}
			if status.Status != metav1.StatusSuccess {
				return "", errors.New(status.Message)
			}
			return out.String(), nil
		}
	}
}
