package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/publish"
)

// liveProgram is the name of the process that keeps events coming.
const liveProgram = "bench-live"

const (
	// inFlight is how many sessions take turns.
	inFlight = 20_000
	// liveLinger is how long the publisher waits for a batch to fill.
	liveLinger = 20 * time.Millisecond
)

// runLive publishes what happens now in a set, at a rate, until it is told to
// stop: arguments are the address of NATS, the events of the set, its seed, and
// the rate.
func runLive(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := live(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		return 1
	}
	return 0
}

func live(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%d arguments, want 4", len(args))
	}
	events, err := strconv.Atoi(args[1])
	seed, err2 := strconv.ParseUint(args[2], 10, 64)
	rate, err3 := strconv.ParseFloat(args[3], 64)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	nc, err := nats.Connect(args[0])
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := publish.New(nc, publish.Options{Linger: liveLinger, Timeout: 30 * time.Second})
	if err != nil {
		return err
	}
	var refused error
	err = emit.Send(ctx, p, happenings(newPopulation(events, seed), time.Now), rate, func(r publish.Result) {
		if r.Err != nil && ctx.Err() == nil {
			refused = r.Err
		}
	})
	return errors.Join(err, refused)
}

// visit is a session that goes on.
type visit struct {
	person
	id   string
	todo []step
}

// person is a user with what it logs in from.
type person struct {
	account, username string
	ip                netip.Addr
	agent, device     string
	factor            event.MFAMethod
}

// happenings are events without end, each as having happened just now: sessions
// of the set's users by their shares, as in the set itself. Only the busiest user
// comes no more often than others of its account: at this rate it would be logged
// in a thousand times at once.
func happenings(p population, now func() time.Time) iter.Seq[event.Event] {
	p.heavyShare = 0
	return func(yield func(event.Event) bool) {
		rng := rand.New(rand.NewPCG(p.seed, uint64(now().UnixNano())))
		sessions := frame()
		visits := make([]*visit, 0, inFlight)
		for {
			i := rng.IntN(inFlight)
			if i >= len(visits) {
				i = len(visits)
				visits = append(visits, &visit{})
			}
			v := visits[i]
			for len(v.todo) == 0 {
				*v = p.begin(rng, sessions[rng.IntN(len(sessions))])
			}
			next := v.todo[0]
			v.todo = v.todo[1:]
			if !yield(v.event(rng, next, now().UTC().Truncate(time.Microsecond))) {
				return
			}
		}
	}
}

// begin begins a session of somebody.
func (p population) begin(rng *rand.Rand, session []step) visit {
	user := p.visitor(rng.Uint64N(firstVisits))
	v := visit{person: p.person(user), id: fmt.Sprintf("s-%016x%08x", rng.Uint64(), rng.Uint32())}
	for _, s := range session {
		if s.once {
			s.status = rareStatuses[rng.IntN(len(rareStatuses))]
		}
		v.todo = append(v.todo, s)
	}
	return v
}

// person is who a user is; the set's own devices are made by the same lists.
func (p population) person(user uint64) person {
	account, username := p.name(user)
	at := func(decision, n int) int { return int(p.draw(userThings+user, decision) % uint64(n)) }
	return person{
		account: account, username: username,
		ip:     netip.AddrFrom4([4]byte{100, byte(64 + at(drawCell, 64)), byte(at(drawCellLow, 256)), byte(at(drawHome, 256))}),
		agent:  strings.NewReplacer("{v}", "142", "{s}", "19.1").Replace(desktops[at(drawDesk, len(desktops))]),
		device: fmt.Sprintf("dev-%010x", p.draw(userThings+user, drawDeskDevice)>>24),
		factor: factors[at(drawFactor, len(factors))],
	}
}

func (v *visit) event(rng *rand.Rand, s step, at time.Time) event.Event {
	e := event.Event{
		ID: uuid7(at, rng), Account: v.account, Username: v.username, OccurredAt: at, Entry: 1, Status: s.status,
		SessionID: v.id, IP: v.ip, UserAgent: v.agent, Service: "web-login", DeviceID: v.device,
		RequestID: fmt.Sprintf("req-%016x", rng.Uint64()), Reason: reasons()[s.status],
	}
	switch {
	case s.status == 6 || s.status == 7:
		e.UserAgent, e.DeviceID, e.RequestID = "", "", ""
	case s.status >= 14 && s.status <= 17:
		e.SessionID = ""
	case s.status >= 18:
		e.MFAMethod = v.factor
	}
	if rng.IntN(10) < 3 {
		e.Attributes = map[string]string{"node": fmt.Sprintf("auth-%d", 1+rng.IntN(3)), "tls": "1.3"}
	}
	if s.status == 1 && rng.IntN(10) == 0 {
		e.Unknown = map[string]json.RawMessage{"risk_score": json.RawMessage(strconv.Itoa(rng.IntN(40)))}
	}
	return e
}

// uuid7 is a UUID of version 7 (RFC 9562).
func uuid7(at time.Time, rng *rand.Rand) string {
	high := uint64(at.UnixMilli())<<16 | 0x7000 | rng.Uint64N(4096)
	low := rng.Uint64()>>2 | 1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&0xffffffffffff)
}
