package collectors

import (
	"testing"
	"time"
)

// A holder renews every two seconds, this node looks every three. However
// wrong the holder's clock is, the age is never more than the truth, nor much
// less; nor does it matter that the clock is set while it is watched.
func TestLeaseWatch(t *testing.T) {
	begun := time.Now()
	for name, c := range map[string]struct {
		skew, step time.Duration // of the holder's clock, the step after a minute
		next       string        // the holder after a minute
	}{
		"same clock":     {0, 0, "a_1"},
		"ahead":          {time.Hour, 0, "a_1"},
		"behind":         {-time.Hour, 0, "a_1"},
		"set forward":    {0, time.Minute, "a_1"},
		"set back":       {0, -time.Minute, "a_1"},
		"set a little":   {time.Second, -1500 * time.Millisecond, "a_1"},
		"another ahead":  {0, time.Second, "b_1"},
		"another behind": {0, -time.Second, "b_1"},
	} {
		t.Run(name, func(t *testing.T) {
			const hangs = 2 * time.Minute
			var w leaseWatch
			at := func(since time.Duration) leaseRecord {
				renewed := min(since, hangs).Truncate(2 * time.Second)
				rec := leaseRecord{holder: "a_1", renewed: begun.Add(renewed).Add(c.skew).Round(0)}
				if since >= time.Minute {
					rec.holder, rec.renewed = c.next, rec.renewed.Add(c.step)
				}
				return rec
			}
			for since := time.Duration(0); since < hangs+30*time.Second; since += 3100 * time.Millisecond {
				w.see(begun.Add(since), at(since))
				age, sure := w.age(begun.Add(since))
				truth := since - min(since, hangs).Truncate(2*time.Second)
				if sure != (since > 0) {
					t.Errorf("after %v: sure is %v", since, sure)
				}
				if !sure {
					continue
				}
				settled := since > 30*time.Second && (c.step == 0 || since < time.Minute || since > 90*time.Second)
				if settled && truth-age > 500*time.Millisecond {
					t.Errorf("after %v: the age is %v, in truth %v, though the clocks are known", since, age, truth)
				}
				// A small step back is not told from a holder that is late, for
				// as long as it is remembered.
				unknown := name == "set a little" && !settled
				if over := age - truth; over > time.Millisecond && !unknown || over > 1600*time.Millisecond || over < -2*time.Second {
					t.Errorf("after %v: the age is %v, in truth %v", since, age, truth)
				}
			}
		})
	}
}

// Until a renewal was seen, the age is what the clocks say; and what went by
// while the lease could not be read is not held against anybody.
func TestLeaseWatchWithoutSight(t *testing.T) {
	begun := time.Now()
	rec := leaseRecord{holder: "a_1", renewed: begun.Add(-time.Minute).Round(0)}
	var w leaseWatch
	w.see(begun, rec)
	if age, sure := w.age(begun); age.Round(time.Second) != time.Minute || sure {
		t.Errorf("at first sight %v, %v", age, sure)
	}
	rec.renewed = begun.Add(2 * time.Second).Round(0)
	w.see(begun.Add(3*time.Second), rec)
	for range 10 {
		w.lost()
	}
	w.see(begun.Add(60*time.Second), rec)
	if age, _ := w.age(begun.Add(62 * time.Second)); age.Round(time.Second) != 59*time.Second {
		t.Errorf("after being lost %v", age)
	}
	if silence := w.silence(begun.Add(62 * time.Second)); silence != 2*time.Second {
		t.Errorf("silence %v", silence)
	}
	released := leaseRecord{}
	w.see(begun.Add(63*time.Second), released)
	if age, sure := w.age(begun.Add(70 * time.Second)); age != 7*time.Second || !sure {
		t.Errorf("released: %v, %v", age, sure)
	}
}

func TestLeaseHolder(t *testing.T) {
	for holder, want := range map[string]string{
		"cp-1_4f1c6c1e-7f4d-4a3d-8f7a-0a0a0a0a0a0a": "cp-1",
		"cp_1.example.org_4f1c":                     "cp_1.example.org",
		"_4f1c":                                     "_4f1c",
		"worker-1":                                  "worker-1",
	} {
		if got := holderHost(holder); got != want {
			t.Errorf("%s: %s", holder, got)
		}
	}
	if !heldBy("cp-1_4f1c", []string{"", "x", "CP-1"}) || heldBy("cp-11_4f1c", []string{"cp-1"}) || heldBy("_4f1c", []string{""}) {
		t.Error("heldBy")
	}
}
