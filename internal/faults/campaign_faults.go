package faults

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// campaignFaults is the table of all that may happen in a campaign.
func campaignFaults() []fault {
	all := append(processFaults(), refusals()...)
	all = append(all, trafficFaults()...)
	for _, l := range []struct {
		what string
		on   []part
	}{
		{"worker's NATS", each(campaignWorkers, linkWorkerNATS)},
		{"worker's ClickHouse", each(campaignWorkers, linkWorkerClickHouse)},
		{"publisher's NATS", each(campaignPublishers, linkPublisher)},
		{"query's ClickHouse", []part{linkQuery}},
	} {
		all = append(all, linkFaults(l.what, l.on)...)
	}
	return all
}

func each(n int, of func(int) part) []part {
	all := make([]part, n)
	for i := range all {
		all[i] = of(i)
	}
	return all
}

// onlyItself is for faults that break what they are on, and nothing else.
func onlyItself(part) []part { return nil }

// natsLinks are all links to NATS: nothing flows through them while it is
// halted, so none can be healed then.
func natsLinks(part) []part {
	return append(each(campaignWorkers, linkWorkerNATS), each(campaignPublishers, linkPublisher)...)
}

func clickHouseLinks(part) []part {
	return append(each(campaignWorkers, linkWorkerClickHouse), linkQuery)
}

func workerLinks(on part) []part {
	for i := range campaignWorkers {
		if on == partWorker(i) {
			return []part{linkWorkerNATS(i), linkWorkerClickHouse(i)}
		}
	}
	return nil
}

func allWorkers(part) []part { return each(campaignWorkers, partWorker) }

// processFaults are those of whole processes.
func processFaults() []fault {
	workers := each(campaignWorkers, partWorker)
	return []fault{
		{"worker kill -9", workers, onlyItself, (*campaign).kill, (*campaign).start},
		{"worker SIGSTOP", workers, workerLinks, (*campaign).freeze, (*campaign).thaw},
		{"worker SIGTERM", workers, onlyItself, (*campaign).stop, (*campaign).start},
		{"query kill -9", []part{partQuery}, onlyItself, (*campaign).kill, (*campaign).start},
		{"query SIGSTOP", []part{partQuery}, func(part) []part { return []part{linkQuery} }, (*campaign).freeze, (*campaign).thaw},
		{"NATS kill -9", []part{partNATS}, onlyItself, (*campaign).kill, (*campaign).start},
		{"NATS SIGSTOP", []part{partNATS}, natsLinks, (*campaign).freeze, (*campaign).thaw},
		{"NATS SIGTERM", []part{partNATS}, onlyItself, (*campaign).stop, (*campaign).start},
		{"ClickHouse kill -9", []part{partClickHouse}, onlyItself, (*campaign).kill, (*campaign).start},
		{"ClickHouse SIGSTOP", []part{partClickHouse}, clickHouseLinks, (*campaign).freeze, (*campaign).thaw},
		{"ClickHouse SIGTERM", []part{partClickHouse}, onlyItself, (*campaign).stop, (*campaign).start},
		{
			"ClickHouse's child kill -9", []part{partClickHouse}, onlyItself,
			func(c *campaign, _ part) { c.ClickHouse.KillChild() },
			func(c *campaign, _ part) { c.answers("ClickHouse", c.Rows) },
		},
		{
			"all kill -9 at once", nil,
			func(on part) []part { return append(allWorkers(on), partNATS, partClickHouse) },
			(*campaign).killAll, (*campaign).startAll,
		},
	}
}

// linkFaults are those of connections.
func linkFaults(what string, on []part) []fault {
	add := func(d Direction, t Toxic) func(*campaign, part) {
		return func(c *campaign, on part) { c.link(on).Add(d, t) }
	}
	kinds := []fault{
		{name: "cut", inject: func(c *campaign, on part) { c.link(on).Cut() }},
		{name: "slow", inject: add(ToClient, Latency(150*time.Millisecond, 100*time.Millisecond))},
		{name: "narrow", inject: add(ToServer, Bandwidth(20))},
		{name: "in slices", inject: add(ToServer, Slices(200, 2*time.Millisecond))},
		{name: "half-open to the server", inject: add(ToServer, BlackHole())},
		{name: "half-open to the client", inject: add(ToClient, BlackHole())},
		{name: "reset after the request", inject: func(c *campaign, on part) { c.link(on).Reset(ToClient) }},
		{name: "closed in the middle", inject: add(ToServer, CutAfter(3_000))},
	}
	for i := range kinds {
		kinds[i].name = what + " " + kinds[i].name
		kinds[i].on, kinds[i].takes = on, onlyItself
		kinds[i].heal = func(c *campaign, on part) { c.link(on).Heal() }
	}
	return kinds
}

// refusals are servers that answer, and say no.
func refusals() []fault {
	full := func(name string) func(*campaign, part) {
		return func(c *campaign, _ part) { c.Limit(name, 1) }
	}
	ensure := func(c *campaign, _ part) { c.EnsureStreams() }
	exec := func(statement string) func(*campaign, part) {
		return func(c *campaign, _ part) { c.Exec(statement) }
	}
	return []fault{
		{
			"ClickHouse refuses: too many parts", []part{partClickHouse}, onlyItself,
			exec("ALTER TABLE events MODIFY SETTING parts_to_throw_insert = 1"),
			exec("ALTER TABLE events RESET SETTING parts_to_throw_insert"),
		},
		{
			"ClickHouse refuses: a projection's table is missing", []part{partClickHouse}, allWorkers,
			func(c *campaign, _ part) {
				c.mayEnd = true
				c.Exec("RENAME TABLE event_ids TO event_ids_away")
			},
			func(c *campaign, _ part) {
				c.Exec("RENAME TABLE event_ids_away TO event_ids")
				c.revive()
			},
		},
		{
			"NATS refuses: LOGIN_EVENTS is full", []part{partNATS}, onlyItself,
			full(stream.Events), ensure,
		},
		{
			"NATS refuses: LOGIN_PARKED is full", []part{partNATS}, onlyItself,
			full(stream.Parked), ensure,
		},
		{
			"NATS: the consumer is deleted", []part{partNATS}, allWorkers,
			(*campaign).deleteConsumer,
			func(c *campaign, _ part) {
				c.EnsureStreams()
				c.revive()
			},
		},
	}
}

// trafficFaults are what publishers do.
func trafficFaults() []fault {
	return []fault{
		{"flood of invalid messages", nil, nil, func(c *campaign, _ part) {
			for _, m := range c.events.invalid(150) {
				if c.extra.SendInvalid(m) != nil {
					return // NATS is broken too
				}
			}
		}, nil},
		{"flood of repeats", nil, nil, func(c *campaign, _ part) {
			again := c.extra.Messages(50)
			for range 5 {
				if c.extra.Send(again) != nil {
					return // NATS is broken too
				}
			}
		}, nil},
		{
			"late events", nil, nil,
			func(c *campaign, _ part) { c.late = append(c.late, c.extra.Messages(50)...) },
			func(c *campaign, _ part) {
				_ = c.extra.Send(c.late)
				c.late = nil
			},
		},
	}
}

// answers waits until a server that heals itself answers.
func (c *campaign) answers(what string, ask func() (uint64, error)) {
	c.Until(what+" answers", func() error {
		_, err := ask()
		return err
	})
}

func (c *campaign) deleteConsumer(part) {
	c.mayEnd = true
	c.Until("the consumer is deleted", func() error {
		info, err := c.ConsumerInfo()
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil // the first try was not answered
		}
		if err != nil {
			return err
		}
		c.summary.again += float64(info.Delivered.Stream)
		return c.operator.DeleteConsumer(c.tb.Context(), stream.Events, stream.Consumer)
	})
}

// breakable is what processes have in common.
type breakable interface {
	Start()
	Kill()
	Stop()
	Freeze()
	Thaw()
}

func (c *campaign) process(on part) breakable {
	switch on {
	case partNATS:
		return c.NATS
	case partClickHouse:
		return c.ClickHouse
	case partQuery:
		return c.Query
	}
	for i, w := range c.team {
		if on == partWorker(i) {
			return w
		}
	}
	panic(fmt.Sprintf("faults: there is no process %q", on))
}

func (c *campaign) link(on part) *Link {
	links := map[part]*Link{linkQuery: c.Query.ClickHouse}
	for i, w := range c.team {
		links[linkWorkerNATS(i)], links[linkWorkerClickHouse(i)] = w.NATS, w.ClickHouse
	}
	for i, p := range c.publishers {
		links[linkPublisher(i)] = p.NATS
	}
	return links[on]
}
