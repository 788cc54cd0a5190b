package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/publish"
)

// EmitSettings are those of "loginaudit emit".
type EmitSettings struct {
	ClientSettings
	Accounts int           `koanf:"accounts" help:"how many accounts"`
	Users    int           `koanf:"users" help:"how many users in all"`
	Rate     float64       `koanf:"rate" help:"live events a second; 0: as fast as they are confirmed"`
	Duration string        `koanf:"duration" help:"how long to go on live, like 10m; 0: not at all (default: until stopped)"`
	History  time.Duration `koanf:"history" help:"first fill this much of the past, like 30d, as fast as it is confirmed"`
	Seed     int           `koanf:"seed" help:"chooses who there is and what they do; the same seed fills the same events"`
}

// DefaultEmit is a few people in three companies, two events a second.
func DefaultEmit() EmitSettings {
	return EmitSettings{
		ClientSettings: ClientSettings{DataDir: DefaultDataDir},
		Accounts:       3, Users: 60, Rate: 2, Seed: 1,
	}
}

// Validate names what is out of its range.
func (s EmitSettings) Validate() error {
	_, err := s.generator()
	_, live := s.duration()
	if s.Rate < 0 {
		err = errors.Join(err, fmt.Errorf("rate: %g is not allowed; 0 or more", s.Rate))
	}
	return errors.Join(err, live, between("history", s.History, 0, 3660*24*time.Hour), s.ClientSettings.Validate())
}

func (s EmitSettings) generator() (*emit.Generator, error) {
	return emit.New(emit.Options{Accounts: s.Accounts, Users: s.Users, Seed: uint64(s.Seed)})
}

// duration is how long to go on live; negative: until stopped.
func (s EmitSettings) duration() (time.Duration, error) {
	if s.Duration == "" {
		return -1, nil
	}
	if s.Duration == "0" {
		return 0, nil
	}
	d, err := ops.ParseDuration(s.Duration)
	if err == nil && d < 0 {
		err = errors.New("it is negative")
	}
	if err != nil {
		return 0, fmt.Errorf("duration: %w", err)
	}
	return d, nil
}

// emission is one run of emit.
type emission struct {
	EmitSettings
	publisher *publish.Publisher
	generator *emit.Generator
	out       Streams
	counts    importCounts
	refused   error // the first event that was refused
}

// Emit publishes made-up traffic until it is done or ctx ends, and tells how
// much. The end of ctx is no error.
func Emit(ctx context.Context, s EmitSettings, out Streams) error {
	generator, err := s.generator()
	if err != nil {
		return err
	}
	live, err := s.duration()
	if err != nil {
		return err
	}
	nc, err := s.connect(engine.UserPublisher)
	if err != nil {
		return err
	}
	defer nc.Close()
	publisher, err := publish.New(nc, publish.Options{Timeout: 10 * time.Second})
	if err != nil {
		return fmt.Errorf("prepare emit: %w", err)
	}
	e := &emission{EmitSettings: s, publisher: publisher, generator: generator, out: out}
	if s.History > 0 {
		err = e.fill(ctx)
	}
	if err == nil && live != 0 && ctx.Err() == nil {
		err = e.live(ctx, live)
	}
	if err == nil && e.refused != nil {
		err = fmt.Errorf("publish events: %w", e.refused)
	}
	fmt.Fprintf(out.Out, "published=%d duplicate=%d rejected=%d\n", e.counts.published, e.counts.duplicate, e.counts.rejected)
	return err
}

// report counts what became of an event; it is called one at a time.
func (e *emission) report(r publish.Result) {
	switch {
	case r.Err != nil:
		e.counts.rejected++
		if e.refused == nil {
			e.refused = r.Err
		}
	case r.Receipt.Duplicate:
		e.counts.duplicate++
	default:
		e.counts.published++
	}
}

// fill publishes the past.
func (e *emission) fill(ctx context.Context) error {
	now := time.Now()
	fmt.Fprintf(e.out.Out, "filling %s of history: %s\n", days(e.History), e.who())
	err := emit.Send(ctx, e.publisher, e.generator.Generate(now.Add(-e.History), now), 0, e.report)
	fmt.Fprintf(e.out.Err, "filled %d events\n", e.counts.published+e.counts.duplicate)
	return err
}

// shownAccounts is how many accounts are told by name.
const shownAccounts = 10

// who tells whose events are made up.
func (e *emission) who() string {
	names, more := e.generator.Accounts(), ""
	if len(names) > shownAccounts {
		names, more = names[:shownAccounts], ", …"
	}
	return fmt.Sprintf("%d users in %d accounts: %s%s", e.Users, e.Accounts, strings.Join(names, ", "), more)
}

// live publishes what happens now, for d or, where d is negative, until ctx ends.
func (e *emission) live(ctx context.Context, d time.Duration) error {
	if d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
		fmt.Fprintf(e.out.Err, "going on live for %s: %s\n", d, e.who())
	} else {
		fmt.Fprintf(e.out.Err, "going on live until stopped (Ctrl-C): %s\n", e.who())
	}
	return emit.Send(ctx, e.publisher, e.generator.Live(time.Now), e.Rate, e.report)
}

func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d > day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}
