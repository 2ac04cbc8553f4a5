package exposition

import (
	"slices"
	"strings"

	"github.com/grapevine-mesh/grapevine/health"
)

// checkPrefix begins the families that tell about checks themselves and say
// which one in the label "check".
const checkPrefix = "grapevine_check_"

// foreignCheck is the check that brings families of others.
const foreignCheck = "textfile"

// selection limits what is shown to some checks: the families that begin with
// grapevine_NAME_ (dashes of NAME are underscores there), those of others for
// foreignCheck, and those series of grapevine_check_* that carry the label
// check="NAME". The empty selection shows everything.
type selection struct {
	checks   []string
	prefixes []string
}

func selectChecks(checks []string) selection {
	s := selection{checks: checks}
	for _, c := range checks {
		s.prefixes = append(s.prefixes, "grapevine_"+strings.ReplaceAll(c, "-", "_")+"_")
	}
	return s
}

// scope is how much of a family is shown.
type scope uint8

const (
	nothing scope = iota
	some          // the series that selection.has
	whole
)

func (s *selection) family(name string) scope {
	if len(s.checks) == 0 {
		return whole
	}
	for _, prefix := range s.prefixes {
		if strings.HasPrefix(name, prefix) {
			return whole
		}
	}
	if strings.HasPrefix(name, checkPrefix) {
		return some
	}
	if slices.Contains(s.checks, foreignCheck) && health.Foreign(name) {
		return whole
	}
	return nothing
}

// hasAny reports whether has holds for any of all.
func (s *selection) hasAny(all []health.Series) bool {
	for i := range all {
		if s.has(&all[i]) {
			return true
		}
	}
	return false
}

func (s *selection) has(series *health.Series) bool {
	for i := range series.Labels {
		if l := &series.Labels[i]; l.Name == "check" {
			return slices.Contains(s.checks, l.Value)
		}
	}
	return false
}
