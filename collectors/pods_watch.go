package collectors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-kit/log"
	"github.com/go-kit/log/level"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// podWatch follows the pods of one node by the API's watch. It owns one
// goroutine, which close ends.
type podWatch struct {
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	done     chan struct{}
	synced   chan struct{} // closed when the first list is there

	mu    sync.Mutex // guards what follows
	heard time.Time  // when the API server last answered; zero: never
	err   error      // why it does not; nil while it does
}

// startPodWatch watches the pods of the node that are wanted.
func startPodWatch(api *kubeAPI, node string, wanted func(namespace string, labels map[string]string) bool, logger log.Logger) (*podWatch, error) {
	w := &podWatch{done: make(chan struct{}), synced: make(chan struct{}), err: errors.New("not asked yet")}
	only := "spec.nodeName=" + node
	w.informer = cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			var list corev1.PodList
			err := podRequest(api, o, func(r *rest.Request) error { return r.Do(ctx).Into(&list) })
			w.tell(err)
			return &list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector, o.Watch = only, true
			// Short, so that a watch that has silently died is noticed.
			timeout := 60 + rand.Int64N(60)
			o.TimeoutSeconds = &timeout
			var events watch.Interface
			err := podRequest(api, o, func(r *rest.Request) (err error) {
				events, err = r.Watch(ctx)
				return err
			})
			w.tell(err)
			return events, err
		},
	}, &corev1.Pod{}, 0, nil)
	// A pod that is not wanted is held as a name alone.
	err := errors.Join(
		w.informer.SetTransform(func(object any) (any, error) {
			w.tell(nil)
			pod, ok := object.(*corev1.Pod)
			if !ok {
				return object, nil
			}
			return slim(pod, wanted(pod.Namespace, pod.Labels)), nil
		}),
		w.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
			w.tell(err)
			level.Debug(logger).Log("msg", "the watch of pods has ended", "err", err)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() {
		defer close(w.done)
		var both sync.WaitGroup
		both.Go(func() { w.informer.RunWithContext(ctx) })
		both.Go(func() {
			if cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced) {
				close(w.synced)
			}
		})
		both.Wait()
	}()
	return w, nil
}

// podScheme knows pods alone: that of client-go knows every type there is,
// and takes megabytes.
var podScheme = sync.OnceValue(func() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Pod{}, &corev1.PodList{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	scheme.AddUnversionedTypes(corev1.SchemeGroupVersion, &metav1.Status{})
	return serializer.NewCodecFactory(scheme).WithoutConversion()
})

// podRequest makes a request on pods with the credentials as they are now.
func podRequest(api *kubeAPI, o metav1.ListOptions, do func(*rest.Request) error) error {
	client, base := api.renewed()
	config := &rest.Config{Host: base.String(), APIPath: "/api", QPS: -1, WarningHandler: rest.NoWarnings{}}
	config.GroupVersion, config.NegotiatedSerializer = &corev1.SchemeGroupVersion, podScheme()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	r, err := rest.RESTClientForConfigAndClient(config, client)
	if err != nil {
		return err
	}
	return do(r.Get().Resource("pods").VersionedParams(&o, metav1.ParameterCodec))
}

// tell records what came of a request to the API server.
func (w *podWatch) tell(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err = err; err == nil {
		w.heard = time.Now()
	}
}

// first waits until the first list is there, or ctx ends.
func (w *podWatch) first(ctx context.Context) {
	select {
	case <-w.synced:
	case <-ctx.Done():
	}
}

// state returns the wanted pods as last known, when the API server was last
// heard of, and why it is not heard now.
func (w *podWatch) state() (pods []podState, heard time.Time, err error) {
	for _, object := range w.informer.GetStore().List() {
		if pod, ok := object.(*corev1.Pod); ok && pod.Status.Phase != "" && len(pods) < maxPods {
			pods = append(pods, podState{pod})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.informer.HasSynced() {
		return nil, time.Time{}, w.err
	}
	return pods, w.heard, w.err
}

func (w *podWatch) close() {
	w.stop()
	<-w.done
}

// slim keeps what is judged of a pod, and of one that is not wanted nothing
// but what tells it from others.
func slim(pod *corev1.Pod, wanted bool) *corev1.Pod {
	out := &corev1.Pod{}
	out.Name, out.Namespace, out.UID, out.ResourceVersion = pod.Name, pod.Namespace, pod.UID, pod.ResourceVersion
	if !wanted {
		return out
	}
	out.CreationTimestamp, out.DeletionTimestamp = pod.CreationTimestamp, pod.DeletionTimestamp
	out.DeletionGracePeriodSeconds = pod.DeletionGracePeriodSeconds
	out.Status.Phase, out.Status.Reason, out.Status.Message = pod.Status.Phase, pod.Status.Reason, pod.Status.Message
	out.Status.Conditions = pod.Status.Conditions
	out.Status.InitContainerStatuses, out.Status.ContainerStatuses = pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses
	return out
}
