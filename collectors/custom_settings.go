package collectors

import (
	"fmt"
	"regexp"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
)

// customSettings is the block "custom" of the configuration file. Its Timing
// holds for the checks that have none.
type customSettings struct {
	Timing `yaml:",inline"`

	Checks []customEntry `yaml:"checks"`
}

// customEntry is one check. Exactly one of the blocks at its end says of
// which kind.
type customEntry struct {
	Name   string `yaml:"name"`
	Timing `yaml:",inline"`
	// Severity is what a finding without thresholds of its own amounts to:
	// warning or critical, which is the default.
	Severity string `yaml:"severity"`

	Script  *customScript  `yaml:"script"`
	HTTP    *customHTTP    `yaml:"http"`
	TCP     *customTCP     `yaml:"tcp"`
	Process *customProcess `yaml:"process"`
	FileAge *customFile    `yaml:"file_age"`
}

// maxCustomChecks bounds the series and the processes that a file can ask for.
const maxCustomChecks = 100

var customName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// Validate names the first impossible value by its key.
func (s *customSettings) Validate() error {
	if err := s.Timing.Validate(); err != nil {
		return err
	}
	if len(s.Checks) > maxCustomChecks {
		return fmt.Errorf("checks: %d are more than %d", len(s.Checks), maxCustomChecks)
	}
	names := make(map[string]int)
	for i := range s.Checks {
		entry := &s.Checks[i]
		if err := entry.validate(); err != nil {
			return fmt.Errorf("checks: %d: %w", i+1, err)
		}
		if err := s.timing(entry).Validate(); err != nil {
			return fmt.Errorf("checks: %d: %w", i+1, err)
		}
		if before, taken := names[entry.Name]; taken {
			return fmt.Errorf("checks: %d: name: %s is the name of check %d already", i+1, entry.Name, before)
		}
		names[entry.Name] = i + 1
	}
	return nil
}

// timing is that of an entry, completed by that of the block. A timeout that
// the entry leaves open is short enough for its interval.
func (s *customSettings) timing(entry *customEntry) Timing {
	t := entry.Timing
	if t.Interval == 0 {
		t.Interval = s.Interval
	}
	if t.Timeout == 0 {
		t.Timeout = min(s.Timeout, t.Interval*8/10)
	}
	if t.FailureThreshold == 0 {
		t.FailureThreshold = s.FailureThreshold
	}
	if t.SuccessThreshold == 0 {
		t.SuccessThreshold = s.SuccessThreshold
	}
	return t
}

func (e *customEntry) validate() error {
	if !customName.MatchString(e.Name) {
		return fmt.Errorf("name: %q is not a name of up to 63 letters, digits, dots, dashes and underscores", clip(e.Name, 80))
	}
	if e.Severity != "" && e.Severity != "warning" && e.Severity != "critical" {
		return fmt.Errorf("severity: %q is neither warning nor critical", clip(e.Severity, 60))
	}
	kinds := e.kinds()
	if len(kinds) != 1 {
		return fmt.Errorf("name: %s has %d of the blocks script, http, tcp, process, file_age; one is wanted", e.Name, len(kinds))
	}
	var err error
	switch {
	case e.Script != nil:
		err = e.Script.validate()
	case e.HTTP != nil:
		err = e.HTTP.validate()
	case e.TCP != nil:
		err = e.TCP.validate()
	case e.Process != nil:
		err = e.Process.validate()
	default:
		err = e.FileAge.validate()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", kinds[0], err)
	}
	return nil
}

// kinds are the names of the blocks that are there.
func (e *customEntry) kinds() []string {
	var kinds []string
	for _, block := range []struct {
		name  string
		there bool
	}{
		{"script", e.Script != nil}, {"http", e.HTTP != nil}, {"tcp", e.TCP != nil}, {"process", e.Process != nil}, {"file_age", e.FileAge != nil},
	} {
		if block.there {
			kinds = append(kinds, block.name)
		}
	}
	return kinds
}

func (e *customEntry) kind() string { return e.kinds()[0] }

func (e *customEntry) status() health.Status {
	if e.Severity == "warning" {
		return health.Warning
	}
	return health.Critical
}

// probe builds what looks.
func (e *customEntry) probe(env Env) (customProbe, error) {
	switch {
	case e.Script != nil:
		return &scriptProbe{customScript: *e.Script, node: env.Node}, nil
	case e.HTTP != nil:
		return e.HTTP.probe(e.status())
	case e.TCP != nil:
		return &tcpProbe{customTCP: *e.TCP, status: e.status()}, nil
	case e.Process != nil:
		return e.Process.probe(e.status(), env)
	default:
		return &fileProbe{customFile: *e.FileAge, status: e.status(), paths: env.Paths}, nil
	}
}

// compiled is a pattern of the configuration file; empty is none.
func compiled(key, pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	if len(pattern) > 1000 {
		return nil, fmt.Errorf("%s: longer than 1000 bytes", key)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return re, nil
}

// validLatency checks the thresholds of a time.
func validLatency(latency DurationLimits) error {
	return validateLimits(namedLimits{"latency", latency.seconds(), false})
}

// certificateLimits are of the time that is left: 7 days and 1 day are what
// kubernetes-mixin holds certificates of clients to.
var certificateLimits = DurationLimits{Warning: 7 * 24 * time.Hour, Critical: 24 * time.Hour}
