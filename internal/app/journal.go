package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// journal is the store as the worker's memory of how complete it is.
type journal struct {
	js      jetstream.JetStream
	db      *store.DB
	worker  string
	started time.Time
}

// newJournal names the worker by its machine and process: several may run on one
// machine, and in each container it may be number 1.
func newJournal(js jetstream.JetStream, db *store.DB) journal {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return journal{js: js, db: db, worker: fmt.Sprintf("%s:%d", host, os.Getpid()), started: time.Now().UTC()}
}

// Known gives what was told of the stream.
func (j journal) Known(ctx context.Context, name string) (ingest.Known, error) {
	known, err := j.db.Known(ctx, name, j.worker)
	if err != nil {
		return ingest.Known{}, err
	}
	return ingest.Known{
		Watermark: ingest.Watermark{
			Stream: known.Stream, StreamCreated: known.Created, Generation: known.Generation, Seq: known.Seq, Time: known.Time,
		},
		Found: known.Found, Anchor: ingest.ParseAnchor(known.Anchor), Now: known.Now, Others: known.Others,
		Gaps: known.Gaps, Expired: known.Expired,
	}, nil
}

// Tell records what the worker knows.
func (j journal) Tell(ctx context.Context, t ingest.Tidings) error {
	mark := t.Watermark
	told := store.Tidings{
		Claim: store.Claim{
			Stream: mark.Stream, Created: mark.StreamCreated, Generation: mark.Generation,
			Seq: mark.Seq, Time: mark.Time, KnownAt: t.KnownAt, Anchor: t.Anchor.String(), Gaps: t.GapsBefore,
		},
		Lasting: t.Lasting, Worker: j.worker, Report: j.report(t.Report),
	}
	for _, g := range t.Gaps {
		told.Gaps = append(told.Gaps, store.Gap{
			Stream: g.Stream, Created: g.StreamCreated, Generation: g.Generation,
			From: g.From, To: g.To, Messages: g.Messages, Reason: query.GapReason(g.Reason),
		})
	}
	return j.db.Tell(ctx, told)
}

// report is what the worker sees, in the store's words.
func (j journal) report(r ingest.Report) store.Report {
	out := store.Report{
		Now: time.Now().UTC(), Started: j.started, LastCommit: r.LastCommit,
		Version: Version().Version, NATS: j.js.Conn().ConnectedServerVersion(),
	}
	if r.Trouble != nil {
		out.Trouble = r.Trouble.Error()
	}
	if info := r.Stream; info != nil {
		state := info.State
		out.Stream = store.ReportedStream{
			FirstSeq: state.FirstSeq, LastSeq: state.LastSeq, FirstTime: zeroed(state.FirstTime), LastTime: zeroed(state.LastTime),
			Messages: state.Msgs, Bytes: state.Bytes, MaxBytes: uint64(max(info.Config.MaxBytes, 0)),
			MaxAge: info.Config.MaxAge, Replicas: info.Config.Replicas,
		}
	}
	if info := r.Consumer; info != nil {
		out.Consumer = query.ConsumerStatus{
			AckFloor: info.AckFloor.Stream, Pending: info.NumPending,
			AckPending: uint64(info.NumAckPending), Redelivered: uint64(info.NumRedelivered),
		}
	}
	if p := r.Parked; p != nil {
		out.Parked = &query.ParkedStatus{Messages: p.Messages, Open: p.Open, Bytes: p.Bytes, LastSeq: p.LastSeq}
		if p.MaxBytes > 0 {
			out.Parked.MaxBytes = &p.MaxBytes
		}
		if !p.LastTime.IsZero() {
			at := query.At(p.LastTime)
			out.Parked.LastTime = &at
		}
	}
	return out
}

// zeroed is the zero time where an empty stream gives the beginning of Unix time.
func zeroed(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t.UTC()
}

// parkedState asks for the stream of parked messages. Where the open ones cannot
// be counted, the others are told all the same.
func parkedState(js jetstream.JetStream) func(context.Context) (ingest.ParkedState, error) {
	counter := stream.NewOpenCounter(js)
	return func(ctx context.Context) (ingest.ParkedState, error) {
		s, err := js.Stream(ctx, stream.Parked)
		if err != nil {
			return ingest.ParkedState{}, fmt.Errorf("ask for stream %s: %w", stream.Parked, err)
		}
		info := s.CachedInfo()
		out := ingest.ParkedState{
			Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: uint64(max(info.Config.MaxBytes, 0)),
			LastSeq: info.State.LastSeq, LastTime: zeroed(info.State.LastTime),
		}
		if counts, err := counter.Count(ctx); err == nil {
			out.Open = &counts.Total
		}
		return out, nil
	}
}
