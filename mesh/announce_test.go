package mesh

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnnounce(t *testing.T) {
	virtually(t, func(t *bubble) {
		peers := together(t, "a", "b")
		a, b := peers[0], peers[1]
		for _, said := range []Announcement{
			{Echo: "127.0.0.1:7998", Overlay: []netip.Addr{netip.MustParseAddr("10.244.1.1"), netip.MustParseAddr("fd00::1")}},
			{Echo: "127.0.0.1:7998", Maintenance: "cordoned"},
			{},
		} {
			if err := b.Announce(said); err != nil {
				t.Error(err)
			}
			a.eventually("hears what b announces", func() (string, bool) {
				v := a.View()
				n, _ := v.Node("b")
				return fmt.Sprintf("%+v", n.Member.Announcement), cmp.Equal(n.Member.Announcement, said, cmp.Comparer(func(x, y netip.Addr) bool { return x == y }))
			})
			if v := a.View(); v.Nodes[1].Member.Exchange != b.ExchangeAddr() {
				t.Error("the announcement took the other tags away")
			}
		}
	})
}

// What a member says need not be so.
func TestAnnouncementOfALiar(t *testing.T) {
	got := announcement(map[string]string{
		tagEcho: "example.org:80", tagOverlay: "127.0.0.1,10.0.0.1,10.0.0.1,x,,10.0.0.2,10.0.0.3",
		tagMaintenance: "0123456789012345678901234567890123456789",
	}, "192.0.2.1")
	want := Announcement{
		Overlay:     []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")},
		Maintenance: "01234567890123456789012345678901",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); diff != "" {
		t.Error(diff)
	}
	if got := announcement(map[string]string{tagEcho: "7998"}, "192.0.2.1"); got.Echo != "192.0.2.1:7998" {
		t.Errorf("echo at %q", got.Echo)
	}
}
