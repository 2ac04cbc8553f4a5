package collectors

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/grapevine-mesh/grapevine/health"
)

// podState is a pod as the API last told.
type podState struct{ *corev1.Pod }

// restartWindow is how far back restarts count.
const restartWindow = 10 * time.Minute

// Reasons for which a container waits and that do not go away by waiting.
var (
	imageReasons  = []string{"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
	createReasons = []string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError", "StartError"}
)

// podTrouble is an assessment that keeps the short reason of each finding.
type podTrouble struct {
	assessment
	reasons []string // parallel to the findings as they were added
}

func (t *podTrouble) found(status health.Status, reason, format string, args ...any) {
	t.reasons = append(t.reasons, clip(reason, 40))
	t.add(status, format, args...)
}

// trouble says what is wrong with the pod, worst first.
func (p podState) trouble(now time.Time, limits podsThresholds) *podTrouble {
	t := &podTrouble{assessment: assessment{about: fmt.Sprintf("pod %s/%s", p.Namespace, p.Name)}}
	for _, c := range p.containers() {
		p.judgeContainer(t, c, now, limits)
	}
	switch {
	case p.Status.Phase == corev1.PodFailed:
		t.found(health.Warning, cmp.Or(p.Status.Reason, "Failed"), "has failed: %s", clip(p.Status.Reason+" "+p.Status.Message, 160))
	case p.DeletionTimestamp != nil:
		// The timestamp is when its grace period ends.
		if late := now.Sub(p.DeletionTimestamp.Time); limits.NotReady.Critical > 0 && late > limits.NotReady.Critical {
			t.found(health.Warning, "Terminating", "should have ended %s ago", timeLeft(late))
		}
	case p.progress() == "waiting" && len(t.findings) == 0:
		since, why := p.unreadySince()
		status, _ := limits.NotReady.seconds().judge(now.Sub(since).Seconds())
		if status != health.OK {
			t.found(status, "NotReady", "is not ready for %s%s", timeLeft(now.Sub(since)), why)
		}
	}
	return t
}

// judgeContainer says why one container does not run as it should.
func (p podState) judgeContainer(t *podTrouble, c corev1.ContainerStatus, now time.Time, limits podsThresholds) {
	name := clip(c.Name, 60)
	last := ""
	if end := c.LastTerminationState.Terminated; end != nil {
		last = fmt.Sprintf("; it last ended with code %d (%s)", end.ExitCode, clip(end.Reason, 40))
	}
	if waiting := c.State.Waiting; waiting != nil {
		reason, message := waiting.Reason, clip(waiting.Message, 120)
		switch {
		case reason == "CrashLoopBackOff":
			t.found(health.Critical, reason, "crashes again and again: container %s, %d restarts%s", name, c.RestartCount, last)
			return
		case slices.Contains(imageReasons, reason):
			t.found(health.Critical, reason, "cannot get the image of container %s: %s, %s", name, reason, message)
			return
		case slices.Contains(createReasons, reason):
			t.found(health.Critical, reason, "cannot start container %s: %s, %s", name, reason, message)
			return
		}
	}
	// Between two crashes it runs, for a moment.
	end := c.LastTerminationState.Terminated
	if c.State.Terminated != nil && c.State.Terminated.ExitCode != 0 {
		end = c.State.Terminated
	}
	if end == nil || now.Sub(end.FinishedAt.Time) > restartWindow {
		return
	}
	// What restarts this often on average has restarted in the window.
	age := max(now.Sub(p.CreationTimestamp.Time), restartWindow)
	recent := max(1, float64(c.RestartCount)*restartWindow.Seconds()/age.Seconds())
	if status, _ := limits.Restarts.judge(recent); status != health.OK {
		t.found(status, "Restarts", "restarts: container %s, %d times, last %s ago%s", name, c.RestartCount, timeLeft(now.Sub(end.FinishedAt.Time)), last)
	}
}

func (p podState) containers() []corev1.ContainerStatus {
	return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
}

// restarts counts those of all containers.
func (p podState) restarts() (n int) {
	for _, c := range p.containers() {
		n += int(c.RestartCount)
	}
	return n
}

func (p podState) ready() *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodReady {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// progress is ready, waiting or done.
func (p podState) progress() string {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return "done"
	}
	if c := p.ready(); c != nil && c.Status == corev1.ConditionTrue {
		return "ready"
	}
	return "waiting"
}

// unreadySince is since when the pod has not been ready, and in words why.
func (p podState) unreadySince() (time.Time, string) {
	since, why := p.CreationTimestamp.Time, ""
	if c := p.ready(); c != nil {
		since = c.LastTransitionTime.Time
		if c.Message != "" {
			why = ": " + clip(c.Message, 160)
		}
	}
	return since, why
}
