package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/publish"
)

// Campaign breaks the whole system at random, for a while, and holds it to its
// invariants after each round. What is drawn depends on Seed alone, so that the
// same faults come in the same order, at about the same moments, whenever it is
// run again.
type Campaign struct {
	// Seed decides everything that is drawn.
	Seed uint64
	// Duration is after how long no further round begins; at least one does.
	// Rounds, unless 0, is how many there are instead.
	Duration time.Duration
	Rounds   int
	// Round is how long faults begin in one round, Faults how many do. Defaults
	// 20 s and 14.
	Round  time.Duration
	Faults int
}

const (
	// healWithin is in what time, once everything is healed, all that was
	// published until then must be queryable.
	healWithin = time.Minute
	// campaignEvents is about how many events a campaign publishes at most:
	// longer ones publish more slowly.
	campaignEvents = 150_000
	// fastestPause is between two small batches of one publisher.
	fastestPause = 40 * time.Millisecond
	// lookEvery is how often memory and goroutines are looked at.
	lookEvery = 500 * time.Millisecond
)

// campaign is one that runs.
type campaign struct {
	*System
	options    Campaign
	began      time.Time
	planner    *planner
	team       []*Worker // all of them; not all run in every round
	publishers []*Publisher
	extra      *Publisher // for floods; its connection is never broken
	running    int        // of the team
	late       []publish.Message

	// mayEnd: in this round something happened at which a worker ends by itself,
	// with its reason, to be started again.
	mayEnd  bool
	summary summary
}

// Run runs it, and fails the test when an invariant breaks. It tells what it
// does, and ends with a summary.
func (o Campaign) Run(t *testing.T) {
	t.Helper()
	if o.Round == 0 {
		o.Round, o.Faults = 20*time.Second, 14
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("this happened with seed %d; to run it again: %s", o.Seed, o.again())
		}
	})
	t.Logf("seed %d, rounds of %s with %d faults", o.Seed, o.Round, o.Faults)
	c := &campaign{
		System: Start(t, Options{Seed: o.Seed}), options: o, began: time.Now(),
		planner: newPlanner(o.Seed, campaignFaults()), summary: newSummary(),
	}
	for range campaignWorkers {
		c.team = append(c.team, c.NewWorker("--stop-timeout=9s"))
	}
	for range campaignPublishers {
		c.publishers = append(c.publishers, c.NewPublisher())
	}
	c.extra = c.NewPublisher()
	defer c.tell()
	for n := 1; !t.Failed() && c.more(n); n++ {
		c.round(n)
	}
}

// again is the command that runs it once more.
func (o Campaign) again() string {
	if o.Rounds > 0 {
		return "go test -count=1 -v -run TestCampaignOfRandomFaults ./internal/faults"
	}
	return fmt.Sprintf("make chaos SEED=%d CHAOS_DURATION=%s", o.Seed, o.Duration)
}

// more tells whether there is a round of this number.
func (c *campaign) more(n int) bool {
	if c.options.Rounds > 0 {
		return n <= c.options.Rounds
	}
	return n == 1 || time.Since(c.began) < c.options.Duration
}

// say logs what happens, with its time.
func (c *campaign) say(format string, args ...any) {
	c.tb.Helper()
	c.tb.Logf("%8.3fs "+format, append([]any{time.Since(c.began).Seconds()}, args...)...)
}

// round breaks and heals under load, waits until the lag is 0, and checks.
func (c *campaign) round(n int) {
	c.tb.Helper()
	drawn := c.planner.next(c.options.Faults, c.options.Round)
	c.say("round %d: %d workers, %d faults", n, drawn.workers, len(drawn.faults))
	c.mayEnd = false
	c.staff(drawn.workers)
	loads := c.load()
	began := time.Now()
	for _, m := range drawn.moments() {
		c.watchUntil(began.Add(m.at))
		if m.heal {
			c.say("heal   %s", m.planned)
			m.fault.heal(c, m.on)
			continue
		}
		c.say("inject %s", m.planned)
		m.fault.inject(c, m.on)
		c.summary.injected[m.fault.name]++
	}
	c.healed(time.Now())
	for _, l := range loads {
		l.Stop()
		c.summary.refused += l.Failed()
	}
	c.Check()
	c.checkEnded()
	c.look()
}

// load lets the publishers publish, so fast that a campaign of its duration
// publishes about campaignEvents.
func (c *campaign) load() []*Load {
	perBatch := loadBatch / 2
	pause := c.options.Duration * time.Duration(campaignPublishers*perBatch) / campaignEvents
	loads := make([]*Load, len(c.publishers))
	for i, p := range c.publishers {
		loads[i] = p.LoadEvery(max(pause, fastestPause), uint64(i))
	}
	return loads
}

// staff starts and stops workers until so many run.
func (c *campaign) staff(n int) {
	c.tb.Helper()
	for i, w := range c.team {
		switch {
		case i < n && !w.runs():
			w.Start()
		case i >= n && w.runs():
			w.Stop()
		}
	}
	c.running = n
}

// watchUntil waits until a moment and looks at what the processes take meanwhile.
func (c *campaign) watchUntil(moment time.Time) {
	for left := time.Until(moment); left > 0; left = time.Until(moment) {
		timer := time.NewTimer(min(left, lookEvery))
		<-timer.C
		c.look()
	}
}

// healed waits until all that is in the stream now is queryable, which must be
// so in time.
func (c *campaign) healed(at time.Time) {
	c.tb.Helper()
	var last uint64
	c.Until("the stream answers", func() error {
		info, err := c.StreamInfo()
		if err == nil {
			last = info.State.LastSeq
		}
		return err
	})
	c.Until(fmt.Sprintf("all up to %d is queryable", last), func() error {
		c.revive()
		mark, err := c.Watermark()
		if err == nil && mark.StreamSeq < last {
			err = fmt.Errorf("the watermark is at %d", mark.StreamSeq)
		}
		return err
	})
	took := time.Since(at)
	c.say("healed: the lag is 0 after %s", took.Round(time.Millisecond))
	c.summary.slowest = max(c.summary.slowest, took)
	if took > healWithin {
		c.tb.Errorf("the lag returned to 0 after %s, want %s at most", took, healWithin)
	}
}
