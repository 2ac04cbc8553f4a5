package smoke

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	amount "k8s.io/apimachinery/pkg/api/resource"

	"github.com/grapevine-mesh/grapevine/health"
)

// volumeDir is where a pod finds its volume.
const volumeDir = "/volume"

// claimObject asks for the smallest volume that every provider has.
func (r *run) claimObject() *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: r.meta("", roleWriter), Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: amount.MustParse("1Gi")}},
	}}
	if r.s.Steps.StorageClass != "" {
		claim.Spec.StorageClassName = &r.s.Steps.StorageClass
	}
	return claim
}

// volume claims a volume, and has a pod on the first node write to it.
func (r *run) volume(ctx context.Context) verdict {
	var claim corev1.PersistentVolumeClaim
	if v := r.make(ctx, claims, r.claimObject(), &claim); !v.passed() {
		return v
	}
	node := r.report.Nodes[0]
	pod := r.podObject(roleWriter, roleWriter, node, Task{Steps: []string{StepVolume}, Seconds: r.talk.Seconds(), Dir: volumeDir})
	mount(&pod.Spec, "volume", volumeDir, false, corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name},
	})
	pod.Spec.SecurityContext.FSGroup = pod.Spec.SecurityContext.RunAsGroup
	f, v := r.runPod(ctx, pod)
	if v.status == health.OK && len(f.Findings) > 0 && f.Findings[0].Fault != "" {
		v = verdictf(health.Critical, "on %s: %s", node, clip(f.Findings[0].Fault, 400)).on(node)
	}
	if v.status == health.OK {
		return v
	}
	if said := r.unboundClaim(ctx, claim.Name); said != "" {
		return verdictf(health.Critical, "%s", said).on(node)
	}
	return v
}

// unboundClaim says why a claim has no volume; empty: it has one, or that is
// not known.
func (r *run) unboundClaim(ctx context.Context, name string) string {
	ctx, cancel := aside(ctx)
	defer cancel()
	var claim corev1.PersistentVolumeClaim
	if err := r.c.get(claims, r.s.Namespace, name).Do(ctx).Into(&claim); err != nil || claim.Status.Phase == corev1.ClaimBound {
		return ""
	}
	class := "of the cluster's default storage class"
	if claim.Spec.StorageClassName != nil {
		class = "of the storage class " + *claim.Spec.StorageClassName
	}
	reason := fmt.Sprintf("the claim %s/%s %s has got no volume", claim.Namespace, claim.Name, class)
	if said, err := r.c.said(ctx, &claim); err == nil && said.last != "" {
		reason += ": " + said.last
	}
	return reason
}

// write wants to read what it has written.
func (t *Task) write(context.Context) error {
	path := filepath.Join(t.Dir, "grapevine-smoke-"+t.Run)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("the volume cannot be written to: %s", why(err))
	}
	defer func() { _ = os.Remove(path) }()
	_, err = f.WriteString(t.Key)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("the volume cannot be written to: %s", why(err))
	}
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fmt.Errorf("the volume cannot be read: %s", why(err))
	case string(text) != t.Key:
		return fmt.Errorf("what was written to the volume is not what is read")
	}
	return nil
}
