package smoke

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

// What a pod that does not run is waiting for, by its status and its events.
func TestWhyNotRunning(t *testing.T) {
	t.Parallel()
	at := func(second int) metav1.Time { return metav1.NewTime(time.Unix(1_700_000_000+int64(second), 0)) }
	for want, c := range map[string]struct {
		state  corev1.ContainerState
		events []corev1.Event
	}{
		"there is no image own:1, and it cannot be pulled (ImagePullBackOff: back-off); " + loadIt: {
			state: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "back-off"}},
		},
		"there is no image own:1, and it cannot be pulled (Error: ErrImageNeverPull); " + loadIt: {
			events: []corev1.Event{{Reason: "Failed", Message: "Error: ErrImageNeverPull"}},
		},
		"there is no image own:1, and it has not been pulled in 15s; " + loadIt: {
			events: []corev1.Event{{Reason: "Pulling"}},
		},
		"the container of p does not start: no sandbox": {
			events: []corev1.Event{
				{Reason: "FailedCreatePodSandBox", Message: "no sandbox", LastTimestamp: at(2)},
				{Reason: "FailedMount", Message: "earlier", LastTimestamp: at(1)},
				{Reason: "Pulling"}, {Reason: "Pulled"},
			},
		},
		"the container of p ended at once with code 2 (Error): exec format error": {
			state: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", Message: "exec format error"}},
		},
		"the container of p does not start, and the runtime does not say why": {},
	} {
		for i := range c.events {
			if e := &c.events[i]; e.Message != "" {
				e.Type = corev1.EventTypeWarning
			}
		}
		client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Path != "/api/v1/namespaces/ns/events" {
				w.WriteHeader(http.StatusNotFound)
			}
			_ = json.NewEncoder(w).Encode(corev1.EventList{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, Items: c.events,
			})
		})
		r := &run{course: course{s: Default()}, c: client}
		r.s.Image = "own:1"
		v := r.whyNotRunning(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p", UID: "u"}, Spec: corev1.PodSpec{NodeName: "n1"},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "smoke", State: c.state}}},
		})
		if v.text() != "on n1 "+want {
			t.Errorf("%s, want %s", v.text(), want)
		}
	}
}

// When one pod is lost, another is blamed only if it is lost, too, soon after.
func TestAwaitLostPods(t *testing.T) {
	t.Parallel()
	failed := corev1.PodStatus{Phase: corev1.PodFailed}
	for want, later := range map[string]corev1.PodStatus{
		"a": {}, "b": {Phase: corev1.PodRunning}, "a; b": failed,
	} {
		f := &follower{changed: make(chan struct{})}
		put := func(name string, s corev1.PodStatus) {
			f.tell(nil, func(known map[string]*corev1.Pod) {
				known[name] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: s}
			})
		}
		first, second := "a", "b"
		if want == "b" {
			first, second = second, first
		}
		put(second, corev1.PodStatus{})
		put(first, failed)
		time.AfterFunc(100*time.Millisecond, func() { put(second, later) })
		r := &run{course: course{s: Default()}, follower: f}
		runs := func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }
		v := r.await(t.Context(), []string{"a", "b"}, runs, func(_ context.Context, p *corev1.Pod) verdict {
			return verdictf(health.Critical, "%s", p.Name)
		})
		if v.reason != want {
			t.Errorf("%q is blamed, want %q", v.reason, want)
		}
	}
}
