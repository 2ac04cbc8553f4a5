package mesh

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-kit/log"
	"github.com/hashicorp/serf/serf"
)

// Whoever holds a key of the gossip can invent members, with any name and any
// words: so many, and such that they can be shown.
func TestInventedMembers(t *testing.T) {
	t.Parallel()
	reasons := map[string]int{}
	g := &gossip{
		self: "a", cluster: "test", most: 100, members: map[string]Member{"a": {}}, admitted: map[string]bool{},
		refused: func(reason string, err error) {
			if reasons[reason]++; len(err.Error()) > 1000 {
				t.Errorf("a refusal of %d bytes is logged", len(err.Error()))
			}
		},
	}
	tags := map[string]string{tagCluster: "test"}
	for i := range 1000 {
		_ = g.NotifyMerge([]*serf.Member{{Name: fmt.Sprint("n", i), Tags: tags}})
	}
	if len(g.admitted) != 99 || reasons[reasonMembers] != 901 {
		t.Errorf("%d are let in, refused: %v", len(g.admitted), reasons)
	}
	if err := g.NotifyMerge([]*serf.Member{{Name: "n5", Tags: tags}}); err != nil {
		t.Errorf("who is in is refused: %v", err)
	}
	for _, name := range []string{"", "a b", "a\nlevel=error", "\x1b[2J", "\xff", strings.Repeat("x", 129), strings.Repeat("x", 60_000)} {
		if g.NotifyMerge([]*serf.Member{{Name: name, Tags: tags}}) == nil {
			t.Errorf("%.20q passes as a name", name)
		}
	}
	if reasons[reasonMemberName] != 7 {
		t.Errorf("refused: %v", reasons)
	}
	m := memberOf(serf.Member{Name: "liar", Addr: net.IPv4(192, 0, 2, 1), Tags: map[string]string{
		tagVersion: "1\x1b[2J", tagMaintenance: "\x1b]0;x\a", tagPrefix + "a\nb": "c\rd", tagExchange: "\n7997",
	}})
	if m.Version != "1[2J" || m.Maintenance != "]0;x" || m.Tags["ab"] != "cd" || m.Exchange != "192.0.2.1:7997" {
		t.Errorf("what a liar says is shown as %+v", m)
	}
}

// A stranger without any key opens connections to the gossip's port, and sends
// without end.
func TestGossipStreamsAreBounded(t *testing.T) {
	t.Parallel()
	a := start(t, testConfig(t, "a"))
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for range 3 * maxGossipStreamsPerHost {
		c, err := net.Dial("tcp", a.GossipAddr())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	a.refuses(reasonGossipCrowd)
	f := a.gossip.streams
	f.mu.Lock()
	if f.open > maxGossipStreamsPerHost || len(f.hosts) != 1 {
		t.Errorf("%d connections of %d hosts are open", f.open, len(f.hosts))
	}
	f.mu.Unlock()
	if n := strings.Count(a.logs.String(), "reason="+reasonGossipCrowd); n != 1 {
		t.Errorf("logged %d times", n)
	}
	// They end by themselves, and then somebody else gets in.
	cfg := testConfig(t, "b")
	cfg.Join = []string{a.GossipAddr()}
	b := start(t, cfg)
	a.sees("a", "b")
	b.sees("a", "b")

	ours, theirs := net.Pipe()
	go func() { _, _ = io.Copy(ours, endless{}); _ = ours.Close() }()
	s := &gossipStream{Conn: theirs, left: 1 << 20, of: &fewStreams{refused: func(string, error) {}, hosts: map[string]int{"": 1}}}
	n, err := io.Copy(io.Discard, s)
	if n != 1<<20 || err == nil {
		t.Errorf("%d bytes are read: %v", n, err)
	}
	_ = s.Close()
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// Who can invent reasons to log cannot fill the log.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	logs := &logBuffer{}
	w := serfLog{logger: log.NewLogfmtLogger(logs), quiet: newOncePerMinute(), refused: func(string, error) {}}
	for i := range 10_000 {
		_, _ = fmt.Fprintf(w, "2006/01/02 15:04:05 [ERR] memberlist: %d is a name that somebody invented\n", i)
	}
	if n := strings.Count(logs.String(), "level=warn"); n != maxTopics {
		t.Errorf("%d lines are logged as warnings", n)
	}
	if len(w.quiet.last) > maxTopics {
		t.Errorf("%d topics are remembered", len(w.quiet.last))
	}
}

// Judging identities costs memory and time, and neither grows.
func TestIdentitiesAreBounded(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	id, err := newIdentity("test", "a", ca.issue(t, "a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTrust("test", id, func(string) (Member, bool) { return Member{State: MemberAlive}, true })
	for i := range maxJudged + 10 {
		tr.judged[judgement{name: fmt.Sprint(i)}] = verdict{until: time.Now().Add(time.Hour)}
		if i%1000 == 0 {
			if _, err := tr.Key("a", id.encoded); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := tr.Key("a", append([]byte(nil), id.encoded...)); err != nil {
		t.Fatal(err)
	}
	other, err := newIdentity("test", "a", ca.issue(t, "a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Key("a", other.encoded); err != nil || len(tr.judged) > maxJudged {
		t.Errorf("%d judgements are held: %v", len(tr.judged), err)
	}
	large := endorsement{chain: make([]byte, maxEndorsement), key: make([]byte, ed25519.PublicKeySize)}
	if _, err := tr.Key("a", large.encode()); err == nil || !strings.Contains(err.Error(), "are allowed") {
		t.Errorf("an identity of %d bytes: %v", maxEndorsement, err)
	}
	requests := newKeyService("test", "a", nil, tr, nil)
	for range 10 * keyQueue {
		requests.asked(&serf.Query{})
	}
	if len(requests.queries) != keyQueue {
		t.Errorf("%d requests about keys wait", len(requests.queries))
	}
}
