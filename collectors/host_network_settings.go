package collectors

import "fmt"

// hostNetworkSettings is the block "host-network" of the configuration file.
type hostNetworkSettings struct {
	reachSettings `yaml:",inline"`

	// Pings is how many ICMP echo requests each neighbour gets in a run, where
	// the kernel lets the agent send them; 0 for none.
	Pings int `yaml:"pings"`

	Thresholds hostNetworkThresholds `yaml:"thresholds"`
}

// hostNetworkThresholds are held against what one run sees.
type hostNetworkThresholds struct {
	reachThresholds `yaml:",inline"`

	// LinkErrors is the ratio of the packets of a link that were damaged since
	// the run before, each direction for itself. 1 % is the limit of
	// node_exporter's mixin (NodeNetworkReceiveErrs, NodeNetworkTransmitErrs).
	LinkErrors Limits `yaml:"link_errors"`
	// CarrierChanges within ten minutes: a cable that is pulled and put back
	// makes two.
	CarrierChanges Limits `yaml:"carrier_changes"`
	// Conntrack is the ratio of the connection tracking table in use. 75 % is
	// the limit of node_exporter's mixin (NodeHighNumberConntrackEntriesUsed);
	// at 100 % the kernel drops every new connection.
	Conntrack Limits `yaml:"conntrack"`
	// ConntrackDrops are packets a second that connection tracking dropped,
	// ConntrackInsertFailed entries a second that it could not insert: two
	// packets of one new flow raced, as the A and AAAA lookups of a pod do,
	// and the loser is dropped; the lookup then takes 5 s.
	ConntrackDrops        Limits `yaml:"conntrack_drops"`
	ConntrackInsertFailed Limits `yaml:"conntrack_insert_failed"`
}

func defaultHostNetworkSettings() *hostNetworkSettings {
	return &hostNetworkSettings{
		reachSettings: defaultReachSettings(),
		Pings:         2,
		Thresholds: hostNetworkThresholds{
			reachThresholds:       defaultReachThresholds(),
			LinkErrors:            Limits{Warning: 0.01, Critical: 0.1},
			CarrierChanges:        Limits{Warning: 4},
			Conntrack:             Limits{Warning: 0.8, Critical: 0.95},
			ConntrackDrops:        Limits{Warning: 1, Critical: 100},
			ConntrackInsertFailed: Limits{Warning: 10},
		},
	}
}

// Validate names the first impossible value by its key.
func (s *hostNetworkSettings) Validate() error {
	if err := s.reachSettings.Validate(); err != nil {
		return err
	}
	if s.Pings < 0 || s.Pings > 20 {
		return fmt.Errorf("pings: %d is not between 0 and 20", s.Pings)
	}
	t := s.Thresholds
	return validateLimits(append(t.limits(),
		namedLimits{"link_errors", t.LinkErrors, true},
		namedLimits{"carrier_changes", t.CarrierChanges, false},
		namedLimits{"conntrack", t.Conntrack, true},
		namedLimits{"conntrack_drops", t.ConntrackDrops, false},
		namedLimits{"conntrack_insert_failed", t.ConntrackInsertFailed, false},
	)...)
}
