package smoke

import (
	"runtime"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	amount "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The labels of all objects. Nothing without runLabel is ever removed.
const (
	runLabel  = "grapevine.io/smoke-run"
	roleLabel = "grapevine.io/smoke-role"
)

// The roles of pods.
const (
	roleServer = "server"
	roleClient = "client"
	roleProbe  = "probe"  // asks what a policy forbids
	roleWriter = "writer" // writes to a volume
)

// margin is how long after its deadline a run may still be clearing up: the
// cluster removes what is older.
const margin = 30 * time.Second

// namespaceObject takes pods that pass the strictest of the Pod Security
// Standards only.
func namespaceObject(name string) *corev1.Namespace {
	labels := map[string]string{"app.kubernetes.io/name": "grapevine", "app.kubernetes.io/component": "smoke"}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// quotaObject has room for two runs at once, and what one may have left.
func quotaObject() *corev1.ResourceQuota {
	hard := corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{
		corev1.ResourcePods: "20", corev1.ResourceServices: "10", corev1.ResourceServicesNodePorts: "0", corev1.ResourceServicesLoadBalancers: "0",
		corev1.ResourceRequestsCPU: "400m", corev1.ResourceLimitsMemory: "2Gi",
		corev1.ResourcePersistentVolumeClaims: "4", corev1.ResourceRequestsStorage: "4Gi",
	} {
		hard[name] = amount.MustParse(text)
	}
	return &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "grapevine-smoke"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
}

func pointer[T any](v T) *T { return &v }

// meta is that of an object of the run.
func (r *run) meta(name, role string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: r.name(name), Labels: map[string]string{
		"app.kubernetes.io/name": "grapevine", "app.kubernetes.io/component": "smoke", runLabel: r.id, roleLabel: role,
	}}
	if r.anchor.UID != "" {
		m.OwnerReferences = []metav1.OwnerReference{r.anchor}
	}
	return m
}

// name is that of an object of the run.
func (r *run) name(of string) string {
	if of == "" {
		return "smoke-" + r.id
	}
	return "smoke-" + r.id + "-" + of
}

// anchorObject owns all others and runs nothing. Its deadline passes in the
// controller manager, which then removes it at once, and with it what it owns:
// so nothing stays when the runner is killed.
func (r *run) anchorObject() *batchv1.Job {
	template := r.podObject("anchor", "anchor", "", Task{})
	template.Name, template.OwnerReferences = "", nil
	return &batchv1.Job{ObjectMeta: r.meta("", "anchor"), Spec: batchv1.JobSpec{
		Parallelism: pointer[int32](0), BackoffLimit: pointer[int32](0),
		ActiveDeadlineSeconds: pointer(seconds(r.s.Deadline + margin)), TTLSecondsAfterFinished: pointer[int32](0),
		Template: corev1.PodTemplateSpec{ObjectMeta: template.ObjectMeta, Spec: template.Spec},
	}}
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// podObject is a pod of the run that the scheduler can bind to one node only,
// and that may do as little as possible there.
func (r *run) podObject(name, role, node string, task Task) *corev1.Pod {
	part := roleClient
	if role == roleServer {
		part = roleServer
	}
	task.Key, task.Run, task.Node = r.key, r.id, node
	spec := corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		NodeSelector:                  map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: runtime.GOARCH},
		TerminationGracePeriodSeconds: pointer[int64](1),
		ActiveDeadlineSeconds:         pointer(seconds(r.s.Deadline + margin)),
		AutomountServiceAccountToken:  pointer(false),
		EnableServiceLinks:            pointer(false),
		PriorityClassName:             r.s.PriorityClass,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: pointer(true), RunAsUser: pointer[int64](65534), RunAsGroup: pointer[int64](65534),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "smoke", Image: r.s.Image, ImagePullPolicy: corev1.PullPolicy(r.s.PullPolicy),
			Command: []string{"/grapevine", "smoke-pod", part},
			Env:     []corev1.EnvVar{{Name: TaskVariable, Value: task.text()}},
			Resources: corev1.ResourceRequirements{
				// A client takes 25 ms: with a smaller share it would fail where a node has no time left.
				Requests: corev1.ResourceList{corev1.ResourceCPU: amount.MustParse("20m"), corev1.ResourceMemory: amount.MustParse("16Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceCPU: amount.MustParse("250m"), corev1.ResourceMemory: amount.MustParse("64Mi")},
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: pointer(false), ReadOnlyRootFilesystem: pointer(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			TerminationMessagePath:   terminationLog,
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
	}
	if node != "" {
		spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
			}}},
		}}}
	}
	if role == roleClient && r.s.Steps.API {
		mount(&spec, "api", rootCADir, true, corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Optional: pointer(true),
		}})
	}
	m := r.meta(name, role)
	if role == roleServer && len(r.report.Nodes) > 0 && node == r.report.Nodes[0] {
		m.Labels[guardedLabel] = "true"
	}
	// The autoscaler leaves nodes alone that run pods like these, otherwise.
	m.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
	return &corev1.Pod{ObjectMeta: m, Spec: spec}
}

func mount(spec *corev1.PodSpec, name, path string, readOnly bool, source corev1.VolumeSource) {
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	c := &spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: readOnly})
}

// serviceObject gives the servers a cluster address.
func (r *run) serviceObject() *corev1.Service {
	return &corev1.Service{ObjectMeta: r.meta("", roleServer), Spec: corev1.ServiceSpec{
		Selector: map[string]string{runLabel: r.id, roleLabel: roleServer},
		Ports: []corev1.ServicePort{
			{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: echoPort, TargetPort: intstr.FromInt32(echoPort)},
			{Name: "udp", Protocol: corev1.ProtocolUDP, Port: echoPort, TargetPort: intstr.FromInt32(echoPort)},
		},
	}}
}
