package smoke

import (
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	s := Default()
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(*Settings){
		"interval: 1s is not between 1m and 24h":             func(s *Settings) { s.Interval = time.Second },
		`namespace: "No" is no name of a namespace`:          func(s *Settings) { s.Namespace = "No" },
		`namespace: "kube-system" is that of others`:         func(s *Settings) { s.Namespace = "kube-system" },
		`namespace: "default" is that of others`:             func(s *Settings) { s.Namespace = "default" },
		`image: "" is no name of an image`:                   func(s *Settings) { s.Image = "" },
		`image: "a b" is no name of an image`:                func(s *Settings) { s.Image = "a b" },
		`pull_policy: "never" is none of IfNotPresent, Neve`: func(s *Settings) { s.PullPolicy = "never" },
		`priority_class: "A" is no name of a priority class`: func(s *Settings) { s.PriorityClass = "A" },
		"patience: 1s is not between 2s and 5m":              func(s *Settings) { s.Patience = time.Second },
		"deadline: 40s is less than three times the patience": func(s *Settings) {
			s.Deadline = 40 * time.Second
		},
		"deadline: 10m0s is longer than the interval":          func(s *Settings) { s.Deadline = 10 * time.Minute },
		"steps: storage_class: is of no use without volume":    func(s *Settings) { s.Steps.StorageClass = "fast" },
		`steps: storage_class: "!" is no name of a storage cl`: func(s *Settings) { s.Steps.StorageClass, s.Steps.Volume = "!", true },
	} {
		s := Default()
		edit(&s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
