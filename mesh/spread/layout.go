package spread

// layout is who sends what to whom, as one node sees it for one number of
// groups.
type layout struct {
	own    []string   // the others of this node's group
	relays [][]string // for each other group its members, the preferred first
}

func newLayout(self string, members []string, groups int) *layout {
	mine := groupOf(self, groups)
	byGroup := make([][]string, groups)
	for _, name := range members {
		if name != self {
			g := groupOf(name, groups)
			byGroup[g] = append(byGroup[g], name)
		}
	}
	l := &layout{own: byGroup[mine]}
	for g, names := range byGroup {
		if g != mine && len(names) > 0 {
			ByPreference(self, names)
			l.relays = append(l.relays, names)
		}
	}
	return l
}

// chosen picks a relay for each other group: the most preferred that can be
// reached, or the most preferred, if none can.
func (l *layout) chosen(reachable func(string) bool) []string {
	chosen := make([]string, 0, len(l.relays))
	for _, candidates := range l.relays {
		pick := candidates[0]
		for _, name := range candidates {
			if reachable(name) {
				pick = name
				break
			}
		}
		chosen = append(chosen, pick)
	}
	return chosen
}
