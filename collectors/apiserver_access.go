package collectors

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfigPlaces are where installers leave a kubeconfig on a node, the
// least powerful first: each is enough for what the check asks.
var kubeconfigPlaces = []string{
	"/etc/kubernetes/kubelet.conf",
	"/etc/kubernetes/admin.conf",
	"/etc/rancher/k3s/k3s.yaml",
	"/etc/rancher/rke2/rke2.yaml",
}

// serviceAccountToken is where a pod finds who it is.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// apiAccess is how to reach an API server and who to be there.
type apiAccess struct {
	config *rest.Config
	files  []string // kubeconfigs it was read from; empty for a service account
}

// stamp changes when the credentials were replaced. Certificates and tokens
// that the kubeconfig names by file are reloaded by client-go itself.
func (a apiAccess) stamp() string { return stamp(append([]string{a.config.CAFile}, a.files...)...) }

// findAccess looks for credentials: the kubeconfig that was configured, else
// where kubectl looks, the service account, and below root what installers
// leave. An error wraps ErrAbsent when there are none.
func findAccess(configured, root string) (apiAccess, error) {
	if configured != "" {
		if _, err := os.Stat(configured); err != nil {
			return apiAccess{}, fmt.Errorf("kubeconfig: %w", err)
		}
		access, err := readKubeconfig(configured)
		if err != nil {
			return apiAccess{}, fmt.Errorf("kubeconfig %s: %w", configured, err)
		}
		return access, nil
	}
	if list := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); list != "" {
		access, err := readKubeconfig(filepath.SplitList(list)...)
		if err != nil {
			return apiAccess{}, fmt.Errorf("kubeconfig of $KUBECONFIG: %w", err)
		}
		return access, nil
	}
	var refused []string // there, but of no use
	if home, err := os.UserHomeDir(); err == nil {
		path := filepath.Join(home, ".kube", "config")
		if access, ok := tryKubeconfig(path, &refused); ok {
			return access, nil
		}
	}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		config, err := rest.InClusterConfig()
		if err == nil {
			return apiAccess{config: config}, nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			refused = append(refused, serviceAccountToken+" ("+cause(err, 0)+")")
		}
	}
	for _, place := range kubeconfigPlaces {
		if access, ok := tryKubeconfig(filepath.Join(root, place), &refused); ok {
			return access, nil
		}
	}
	looked := "neither $KUBECONFIG, ~/.kube/config nor a service account, nor " + strings.Join(kubeconfigPlaces, ", ")
	if len(refused) > 0 {
		looked += "; not usable: " + strings.Join(refused, ", ")
	}
	return apiAccess{}, fmt.Errorf("access to an API server is %w: %s", ErrAbsent, looked)
}

// tryKubeconfig reads a kubeconfig that may be missing. One that is there and
// cannot be used is added to refused.
func tryKubeconfig(path string, refused *[]string) (apiAccess, bool) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return apiAccess{}, false
	}
	access, err := readKubeconfig(path)
	if err != nil {
		*refused = append(*refused, path+" ("+clip(err.Error(), 200)+")")
		return apiAccess{}, false
	}
	return access, true
}

// readKubeconfig merges kubeconfigs as kubectl does and takes the current
// context.
func readKubeconfig(paths ...string) (apiAccess, error) {
	rules := clientcmd.ClientConfigLoadingRules{Precedence: paths}
	raw, err := rules.Load()
	if err != nil {
		return apiAccess{}, err
	}
	if clientcmdapi.IsConfigEmpty(raw) {
		return apiAccess{}, errors.New("it is empty")
	}
	config, err := clientcmd.NewDefaultClientConfig(*raw, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return apiAccess{}, err
	}
	return apiAccess{config: config, files: paths}, nil
}

// serviceAddress is the API's Service as a pod is told it, or empty.
func serviceAddress() string {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return ""
	}
	return net.JoinHostPort(host, port)
}

const userAgent = "grapevine"

// client returns an HTTP client with the credentials, and the transport whose
// idle connections are to be closed in the end: client-go's wrappers do not
// pass that on.
func (a apiAccess) client(serverName string) (*http.Client, *http.Transport, error) {
	config := rest.CopyConfig(a.config)
	config.UserAgent = userAgent
	if serverName != "" {
		config.ServerName = serverName
	}
	conf, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, nil, err
	}
	// client-go's own transport would be shared between endpoints and starts
	// a goroutine for rotated certificates that never ends.
	client, transport := newHTTPClient(conf)
	transport.Proxy = config.Proxy // that of the kubeconfig, not the environment's
	if client.Transport, err = rest.HTTPWrappersForConfig(config, transport); err != nil {
		return nil, nil, err
	}
	return client, transport, nil
}
