package tail

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Hub follows the stream for all readers. Make it with [New], run it with Run.
type Hub struct {
	config  Config
	log     *zap.Logger
	metrics *metrics

	wake   chan struct{}   // somebody wants to join
	slots  chan struct{}   // of readers that read from the store
	ending context.Context // ends when Run does
	end    context.CancelFunc

	mu       sync.Mutex
	readers  int
	live     map[string]map[*reader]struct{} // by account
	waiting  map[*reader]request
	rounds   uint64 // that have begun
	buffered int
	edge     query.TailEdge
	asked    time.Time // when edge was read
	at       uint64    // up to where the live readers have been handed everything
	formerAt uint64    // what at was when the generation before ended
}

// request is that of a reader that wants to join.
type request struct {
	reply chan<- joined
	// round was the last one that had begun: only a later one knows the end of the
	// stream as it is now.
	round uint64
}

// joined is where a reader that has joined the live ones goes on.
type joined struct {
	edge     query.TailEdge
	at       uint64
	formerAt uint64
	err      error
}

// New makes a Hub. It fails where there is no Source, or where the metrics are
// registered already.
func New(c Config) (*Hub, error) {
	if c.Source == nil {
		return nil, errSource
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	c = c.withDefaults()
	ending, end := context.WithCancel(context.Background())
	return &Hub{
		config: c, log: c.Log, metrics: m, ending: ending, end: end,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, catchingUp),
		live: map[string]map[*reader]struct{}{}, waiting: map[*reader]request{},
	}, nil
}

// Run serves the readers until ctx ends. Then Follow returns to each of them, so
// that they come back to another process. It is called once.
func (h *Hub) Run(ctx context.Context) error {
	defer h.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if !h.needed() {
			select {
			case <-ctx.Done():
				return nil
			case <-h.wake:
			}
		}
		pause, wake := h.config.Every, h.wake
		if err := h.round(ctx); err != nil && ctx.Err() == nil {
			h.failed(err)
			pause, wake = max(pause, retryPause), nil
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			continue
		case <-wake: // whoever joins need not wait as long, but others may come too
			timer.Reset(min(pause, joinPause))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
	}
}

// needed tells whether anybody waits for anything.
func (h *Hub) needed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.live)+len(h.waiting) > 0
}

// failed tells those who wait to join, who can do something about it.
func (h *Hub) failed(err error) {
	h.metrics.failures.Inc()
	h.log.Warn("cannot read the tail", zap.Error(err))
	h.mu.Lock()
	defer h.mu.Unlock()
	for r, wants := range h.waiting {
		wants.reply <- joined{err: err}
		delete(h.waiting, r)
	}
}

// round hands on what has arrived since the last round, and lets those join who
// wait for it.
func (h *Hub) round(ctx context.Context) error {
	edge, err := h.askEdge(ctx)
	if err != nil {
		return err
	}
	from, to := h.turn(edge)
	for from < to {
		accounts := h.accounts()
		if len(accounts) == 0 {
			break
		}
		from, err = h.page(ctx, accounts, query.Stretch{
			Edge: edge, After: from, UpTo: min(to, from+window), Limit: h.config.Page,
		})
		if err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = max(h.at, to)
	if edge.Watermark.StreamSeq == h.at {
		h.edge, h.asked = edge, time.Now()
	}
	for r, wants := range h.waiting {
		if wants.round == h.rounds {
			continue
		}
		h.add(r)
		wants.reply <- joined{edge: h.edge, at: h.at, formerAt: h.formerAt}
		delete(h.waiting, r)
	}
	return nil
}

func (h *Hub) askEdge(ctx context.Context) (query.TailEdge, error) {
	h.mu.Lock()
	h.rounds++
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return h.config.Source.TailEdge(ctx)
}

// turn decides from where to where this round goes.
func (h *Hub) turn(edge query.TailEdge) (from, to uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to = edge.Watermark.StreamSeq
	if !sameHistory(h.edge, edge) {
		h.begin(edge)
	}
	if len(h.live) == 0 {
		h.at = max(h.at, to)
	}
	if to > h.at && to-h.at > h.config.Behind {
		gap := query.TailMessage{ID: to, Gap: tooFarBehind(h.at, to)}
		for r := range h.everyone() {
			h.metrics.gaps.Inc()
			h.offer(r, gap, h.at)
		}
		h.at = to
	}
	return h.at, to
}

// begin begins with the first sequence of another history of the stream. Whoever is
// live has all of the former one that there is.
func (h *Hub) begin(edge query.TailEdge) {
	mark := edge.Watermark
	mark.StreamSeq, mark.Time, mark.LagMS = 0, nil, 0
	for r := range h.everyone() {
		h.offer(r, query.TailMessage{Mark: &mark}, h.at)
	}
	h.formerAt, h.at = h.at, 0
	h.edge, h.asked = edge, time.Now()
}

// everyone are the live readers. Who is lost meanwhile is still among them.
func (h *Hub) everyone() iter.Seq[*reader] {
	return func(yield func(*reader) bool) {
		for _, readers := range h.live {
			for r := range readers {
				if !yield(r) {
					return
				}
			}
		}
	}
}

func sameHistory(a, b query.TailEdge) bool {
	return a.Generation == b.Generation && a.Created.Equal(b.Created)
}

// accounts are those with readers, in order.
func (h *Hub) accounts() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.live))
	for name := range h.live {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// page hands on the events of a stretch and returns how far it came.
func (h *Hub) page(ctx context.Context, accounts []string, of query.Stretch) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	events, upTo, err := h.config.Source.Arrived(ctx, accounts, of)
	if err != nil {
		return 0, err
	}
	wanted, by := h.wanted(events)
	news, err := h.config.Source.News(ctx, of.Edge, wanted)
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range news {
		m := query.TailMessage{ID: e.StreamSeq, Event: &query.Arrival{Event: e}}
		for _, r := range by[e.StreamSeq] {
			if _, still := h.live[r.account][r]; still {
				h.offer(r, m, e.StreamSeq-1)
			}
		}
	}
	h.at = upTo
	return upTo, nil
}

// wanted are the events that somebody wants, and by their sequence those who do.
// Between this and the end of the page nobody joins.
func (h *Hub) wanted(events []query.Event) (wanted []query.Event, by map[uint64][]*reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	by = make(map[uint64][]*reader)
	for _, e := range events {
		for r := range h.live[e.Account] {
			if r.filter.Matches(e) {
				by[e.StreamSeq] = append(by[e.StreamSeq], r)
			}
		}
		if by[e.StreamSeq] != nil {
			wanted = append(wanted, e)
		}
	}
	return wanted, by
}

// offer puts a message into the buffer of a reader, which has everything up to at.
// Where there is no room, the reader is live no more: it reads on from the store.
func (h *Hub) offer(r *reader, m query.TailMessage, at uint64) {
	if len(r.buffer) >= h.config.Buffer || h.buffered >= h.config.Buffered {
		r.lost, r.lostAt, r.lostIn = true, at, h.edge
		h.remove(r)
	} else {
		r.buffer = append(r.buffer, m)
		h.buffered++
	}
	select {
	case r.wake <- struct{}{}:
	default: // it knows
	}
}

// add makes the reader live.
func (h *Hub) add(r *reader) {
	if h.live[r.account] == nil {
		h.live[r.account] = map[*reader]struct{}{}
	}
	h.live[r.account][r] = struct{}{}
}

// remove ends that the reader is live. What it has in its buffer stays there.
func (h *Hub) remove(r *reader) {
	delete(h.live[r.account], r)
	if len(h.live[r.account]) == 0 {
		delete(h.live, r.account)
	}
}
