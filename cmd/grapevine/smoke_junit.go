package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/grapevine-mesh/grapevine/health"
	"github.com/grapevine-mesh/grapevine/smoke"
)

// The report that CI systems read: a test suite with a case for each step.
type junitSuite struct {
	XMLName   xml.Name    `xml:"testsuite"`
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Errors    int         `xml:"errors,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Host      string      `xml:"hostname,attr"`
	Cases     []junitCase `xml:"testcase"`
	Out       string      `xml:"system-out,omitempty"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
	Error   *junitMessage `xml:"error"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// printJUnit makes a critical step a failure and one that is not known
// skipped. A run that has proven nothing has an error: else it would look well.
func printJUnit(w io.Writer, r smoke.Report) error {
	suite := junitSuite{
		Name: "grapevine smoke", Time: junitTime(r.Seconds), Timestamp: r.Began.UTC().Format(time.RFC3339), Host: r.Server, Out: r.Reason,
	}
	for _, s := range r.Steps {
		c := junitCase{Class: "grapevine.smoke", Name: s.Name, Time: junitTime(s.Seconds)}
		reason := s.Reason
		if len(s.Nodes) > 0 {
			reason += " [" + strings.Join(s.Nodes, ", ") + "]"
		}
		switch s.Status {
		case health.Critical:
			c.Failure = &junitMessage{reason}
			suite.Failures++
		case health.Unknown:
			c.Skipped = &junitMessage{reason}
			suite.Skipped++
		case health.OK, health.Warning:
			c.Out = reason
		}
		suite.Cases = append(suite.Cases, c)
	}
	if r.Status == health.Unknown {
		suite.Errors++
		suite.Cases = append(suite.Cases, junitCase{
			Class: "grapevine.smoke", Name: "run", Time: junitTime(r.Seconds), Error: &junitMessage{r.Reason},
		})
	}
	suite.Tests = len(suite.Cases)
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

func junitTime(seconds float64) string { return fmt.Sprintf("%.3f", seconds) }
