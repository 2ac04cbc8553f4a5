package collectors

import (
	"errors"
	"fmt"
	"net/netip"
)

// overlaySettings is the block "overlay" of the configuration file.
type overlaySettings struct {
	reachSettings `yaml:",inline"`

	// Interface is that of this node in the pod network, Address its address
	// there; at most one of them is needed. Empty means the interface of the
	// network plugin, by its usual name.
	Interface string `yaml:"interface"`
	Address   string `yaml:"address"`

	Thresholds reachThresholds `yaml:"thresholds"`
}

func defaultOverlaySettings() *overlaySettings {
	return &overlaySettings{reachSettings: defaultReachSettings(), Thresholds: defaultReachThresholds()}
}

// Validate names the first impossible value by its key.
func (s *overlaySettings) Validate() error {
	if err := s.reachSettings.Validate(); err != nil {
		return err
	}
	if s.Address != "" {
		if s.Interface != "" {
			return errors.New("address: interface is given as well; one of them is enough")
		}
		if addr, err := netip.ParseAddr(s.Address); err != nil || !addr.IsGlobalUnicast() {
			return fmt.Errorf("address: %q is not an address that a node can have", clip(s.Address, 100))
		}
	}
	return validateLimits(s.Thresholds.limits()...)
}
