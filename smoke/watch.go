package smoke

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// follower follows the pods of one run by the API's watch. It owns one
// goroutine, which close ends.
type follower struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex // guards what follows
	pods    map[string]*corev1.Pod
	changed chan struct{} // closed and replaced at each change
	err     error         // why nothing is heard; nil while it is
}

// follow begins to follow the pods with the labels.
func follow(c *Client, namespace, selector string) *follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{stop: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(f.done)
		for ctx.Err() == nil {
			f.hear(ctx, c, namespace, selector)
			select { // whether it has ended or was refused
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}()
	return f
}

func (f *follower) close() {
	f.stop()
	<-f.done
}

// hear lists the pods and then hears of changes until the watch ends.
func (f *follower) hear(ctx context.Context, c *Client, namespace, selector string) {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var list corev1.PodList
	err := c.list(pods, namespace, metav1.ListOptions{LabelSelector: selector}).Do(asking).Into(&list)
	f.tell(err, func(known map[string]*corev1.Pod) {
		clear(known)
		for i := range list.Items {
			known[list.Items[i].Name] = &list.Items[i]
		}
	})
	if err != nil {
		return
	}
	// Short, so that a watch that has silently died is noticed.
	timeout := int64(10)
	events, err := c.list(pods, namespace, metav1.ListOptions{
		LabelSelector: selector, Watch: true, ResourceVersion: list.ResourceVersion, TimeoutSeconds: &timeout,
	}).Watch(ctx)
	if err != nil { // the next list tells why, if that fails too
		return
	}
	defer events.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(15 * time.Second):
			return
		case e, open := <-events.ResultChan():
			if !open {
				return
			}
			pod, ok := e.Object.(*corev1.Pod)
			if !ok { // the watch is too old, or refused
				return
			}
			f.tell(nil, func(known map[string]*corev1.Pod) {
				if e.Type == watch.Deleted {
					delete(known, pod.Name)
				} else {
					known[pod.Name] = pod
				}
			})
		}
	}
}

// tell records what was heard.
func (f *follower) tell(err error, change func(map[string]*corev1.Pod)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err = err; err == nil {
		if f.pods == nil {
			f.pods = map[string]*corev1.Pod{}
		}
		change(f.pods)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// state returns the pods as last heard of, by name, and why nothing is heard
// now. It is nil before the first word.
func (f *follower) state() (map[string]*corev1.Pod, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.pods), f.changed, f.err
}

// until waits until done says so of the pods, and tells whether it did before
// ctx ended. Who may not list them waits for nothing.
func (f *follower) until(ctx context.Context, done func(map[string]*corev1.Pod) bool) bool {
	for {
		known, changed, err := f.state()
		switch {
		case known != nil && done(known):
			return true
		case apierrors.IsForbidden(err):
			return false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// sorted are the pods in the order of their names.
func sorted(known map[string]*corev1.Pod) []*corev1.Pod {
	return slices.SortedFunc(maps.Values(known), func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
}
