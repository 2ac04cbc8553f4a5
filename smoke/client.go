package smoke

import (
	"net/http"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// Client asks one API server.
type Client struct{ api *collectors.KubeAPI }

// Open looks for credentials as the checks do. An error wraps
// collectors.ErrAbsent when there are none. It does not connect.
func Open(kubeconfig string, env collectors.Env) (*Client, error) {
	api, err := collectors.OpenKubeAPI(kubeconfig, env)
	if err != nil {
		return nil, err
	}
	return &Client{api}, nil
}

// Close ends the idle connections.
func (c *Client) Close() error { return c.api.Close() }

// server is host:port of the API server.
func (c *Client) server() string {
	_, base := c.api.Client()
	return base.Host
}

// A resource is what the API calls a kind of object.
type resource struct {
	schema.GroupVersion
	name string
}

var (
	namespaces = resource{corev1.SchemeGroupVersion, "namespaces"}
	nodes      = resource{corev1.SchemeGroupVersion, "nodes"}
	quotas     = resource{corev1.SchemeGroupVersion, "resourcequotas"}
	pods       = resource{corev1.SchemeGroupVersion, "pods"}
	services   = resource{corev1.SchemeGroupVersion, "services"}
	events     = resource{corev1.SchemeGroupVersion, "events"}
	claims     = resource{corev1.SchemeGroupVersion, "persistentvolumeclaims"}
	jobs       = resource{batchv1.SchemeGroupVersion, "jobs"}
	policies   = resource{networkingv1.SchemeGroupVersion, "networkpolicies"}
	leases     = resource{coordinationv1.SchemeGroupVersion, "leases"}
	reviews    = resource{authorizationv1.SchemeGroupVersion, "selfsubjectaccessreviews"}
)

// codecs know the types that are asked for: client-go's own scheme knows every
// type there is, and takes megabytes.
var codecs = sync.OnceValue(func() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	for version, types := range map[schema.GroupVersion][]runtime.Object{
		corev1.SchemeGroupVersion: {
			&corev1.Namespace{}, &corev1.Node{}, &corev1.NodeList{}, &corev1.ResourceQuota{}, &corev1.Pod{}, &corev1.PodList{},
			&corev1.PodLogOptions{}, &corev1.PodExecOptions{}, &corev1.Service{}, &corev1.ServiceList{}, &corev1.EventList{},
			&corev1.PersistentVolumeClaim{}, &corev1.PersistentVolumeClaimList{},
		},
		batchv1.SchemeGroupVersion:         {&batchv1.Job{}, &batchv1.JobList{}},
		networkingv1.SchemeGroupVersion:    {&networkingv1.NetworkPolicy{}, &networkingv1.NetworkPolicyList{}},
		coordinationv1.SchemeGroupVersion:  {&coordinationv1.Lease{}},
		authorizationv1.SchemeGroupVersion: {&authorizationv1.SelfSubjectAccessReview{}},
	} {
		scheme.AddKnownTypes(version, types...)
		metav1.AddToGroupVersion(scheme, version)
	}
	_ = metav1.AddMetaToScheme(scheme) // its own types, which nothing can clash with
	scheme.AddUnversionedTypes(corev1.SchemeGroupVersion, &metav1.Status{})
	return serializer.NewCodecFactory(scheme).WithoutConversion()
})

// request begins a request on a resource; an empty namespace is for what is in
// none. An API server that is busy (429) is asked once more.
func (c *Client) request(method string, on resource, namespace string) *rest.Request {
	client, base := c.api.Client()
	path := "/apis/" + on.String()
	if on.Group == "" {
		path = "/api/" + on.Version
	}
	// Not by rest.RESTClientFor, whose errors are about what stands here.
	r := rest.NewRequestWithClient(base, path, rest.ClientContentConfig{
		ContentType: "application/vnd.kubernetes.protobuf", GroupVersion: on.GroupVersion,
		Negotiator: runtime.NewClientNegotiator(codecs(), on.GroupVersion),
	}, client)
	return r.Verb(method).NamespaceIfScoped(namespace, namespace != "").Resource(on.name).MaxRetries(1).WarningHandler(rest.NoWarnings{})
}

func (c *Client) get(on resource, namespace, name string) *rest.Request {
	return c.request(http.MethodGet, on, namespace).Name(name)
}

// list asks for those with the labels, all of them when empty.
func (c *Client) list(on resource, namespace string, o metav1.ListOptions) *rest.Request {
	return c.request(http.MethodGet, on, namespace).VersionedParams(&o, metav1.ParameterCodec)
}

func (c *Client) create(on resource, namespace string, object runtime.Object) *rest.Request {
	return c.request(http.MethodPost, on, namespace).Body(object)
}

func (c *Client) delete(on resource, namespace, name string, o metav1.DeleteOptions) *rest.Request {
	return c.request(http.MethodDelete, on, namespace).Name(name).Body(&o)
}
