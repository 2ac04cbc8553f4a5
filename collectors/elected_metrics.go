package collectors

import "github.com/grapevine-mesh/grapevine/health"

// newElectedMetrics describes what the check exports of the program.
func newElectedMetrics(prefix, program string) electedMetrics {
	gauge := func(name, help string, labels ...string) Metric {
		return Metric{Name: "grapevine_" + prefix + "_" + name, Type: health.Gauge, Labels: labels, Help: help}
	}
	return electedMetrics{
		up: gauge("up", "Whether the endpoint answered as a "+program+" does in the last run.", "endpoint"),
		success: gauge("request_success", "Whether the last request was answered, and all checks passed. A path that the "+
			program+" does not have is left out.", "endpoint", "path"),
		last:     gauge("request_last_duration_seconds", "Time the last request took without connecting; when it failed, the time until then.", "endpoint", "path"),
		checkUp:  gauge("check_up", "Whether the "+program+"'s own check of that name passed.", "endpoint", "path", "name"),
		expiry:   gauge("certificate_expiry_timestamp_seconds", "When the first of the certificates that the endpoint shows expires, in seconds since the epoch.", "endpoint"),
		verified: gauge("certificate_verified", "Whether the endpoint's certificate was verified, and by what: ca_file, file (the one it is started with), cluster (the CA of the API server), or none.", "endpoint", "by"),

		isLeader:         gauge("is_leader", "Whether the instance of this node holds the lease; 0: it stands by."),
		leaseSuccess:     gauge("lease_read_success", "Whether the lease could be read in the last run."),
		leaseAge:         gauge("lease_age_seconds", "Time since the lease was last renewed, as seen from this node, whatever the holder's clock says."),
		leaseRenewed:     gauge("lease_renew_timestamp_seconds", "When the lease was last renewed by the holder's own clock, in seconds since the epoch."),
		leaseDuration:    gauge("lease_duration_seconds", "How long the lease is good for without being renewed; after that another instance may take over."),
		leaseTransitions: gauge("lease_transitions", "How often the lease has gone to another instance, as it says itself."),
		leaseHolder:      gauge("lease_holder_info", "The machine that holds the lease; always 1. Left out when nobody does.", "holder"),
	}
}

// all lists them for the Spec.
func (m *electedMetrics) all() []Metric {
	return []Metric{m.up, m.success, m.last, m.checkUp, m.expiry, m.verified,
		m.isLeader, m.leaseSuccess, m.leaseAge, m.leaseRenewed, m.leaseDuration, m.leaseTransitions, m.leaseHolder}
}
