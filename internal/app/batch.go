package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// BatchSettings shape the inserts of the worker: a batch is inserted when it
// has BatchMessages or BatchBytes, or when BatchWait has passed since its first
// message.
type BatchSettings struct {
	BatchMessages int           `koanf:"batch-messages" help:"most events in one insert"`
	BatchBytes    ops.Bytes     `koanf:"batch-bytes" help:"most bytes in one insert"`
	BatchWait     time.Duration `koanf:"batch-wait" help:"how long an insert waits for more events"`
}

func defaultBatch() BatchSettings {
	return BatchSettings{BatchMessages: 100_000, BatchBytes: 64 * ops.MiB, BatchWait: 100 * time.Millisecond}
}

func (s BatchSettings) validate() error {
	var errs []error
	if s.BatchMessages < 1 || s.BatchMessages > 100_000 {
		errs = append(errs, fmt.Errorf("ingest.batch-messages: %d is not allowed; 1 to 100000", s.BatchMessages))
	}
	if s.BatchBytes < 256*ops.KiB || s.BatchBytes > ops.GiB {
		errs = append(errs, fmt.Errorf("ingest.batch-bytes: %s is not allowed; 256KiB to 1GiB", s.BatchBytes))
	}
	return errors.Join(append(errs, between("ingest.batch-wait", s.BatchWait, time.Millisecond, time.Minute))...)
}

// boundMemory has the garbage collector keep a worker of its own process small:
// its batches are most of what lives, and twice their size would be garbage
// before the collector looked. GOMEMLIMIT says otherwise.
func (s BatchSettings) boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(48*ops.MiB + 3*s.BatchBytes))
	}
}

func defaultStream() StreamSettings {
	d := stream.DefaultSettings()
	return StreamSettings{
		Ensure: true, Replicas: d.Replicas, MaxBytes: ops.Bytes(d.MaxBytes), MaxAge: d.MaxAge,
		ParkedMaxBytes: ops.Bytes(d.ParkedMaxBytes), ParkedMaxAge: d.ParkedMaxAge, DuplicateWindow: d.DuplicateWindow,
		AckWait: d.AckWait,
	}
}

// settings is the stream's view of them. The worker's batch decides how many
// messages may be on their way.
func (s StreamSettings) settings(batch BatchSettings) stream.Settings {
	out := stream.DefaultSettings()
	out.Replicas, out.MaxBytes, out.MaxAge = s.Replicas, int64(s.MaxBytes), s.MaxAge
	out.ParkedMaxBytes, out.ParkedMaxAge = int64(s.ParkedMaxBytes), s.ParkedMaxAge
	out.DuplicateWindow, out.AckWait = s.DuplicateWindow, s.AckWait
	out.MaxAckPending = max(out.MaxAckPending, 3*batch.BatchMessages)
	return out
}

func (s StreamSettings) validate() error { return s.settings(BatchSettings{}).Validate() }

// sink is the store as the worker sees it.
type sink struct{ db *store.DB }

// NewBlock makes an empty block.
func (s sink) NewBlock() ingest.Block { return store.NewBlock() }

// Insert writes rows durably.
func (s sink) Insert(ctx context.Context, b ingest.Block, from, to int, begin ingest.Begin) error {
	return s.db.InsertParts(ctx, b.(*store.Block), from, to, begin) //nolint:forcetypeassert // NewBlock made it
}

// parkAll is the parker as the worker sees it.
func parkAll(parker *stream.Parker) func(context.Context, []ingest.Invalid) []error {
	return func(ctx context.Context, all []ingest.Invalid) []error {
		asked := make([]stream.Invalid, len(all))
		for i, m := range all {
			asked[i] = stream.Invalid(m)
		}
		return parker.ParkAll(ctx, asked)
	}
}

// classify is the one table of what the store's errors ask of the worker.
func classify(err error) ingest.Class {
	switch store.Classify(err) {
	case store.Split:
		return ingest.Split
	case store.Stop:
		return ingest.Stop
	case store.TooLarge:
		return ingest.TooLarge
	default:
		return ingest.Retry
	}
}
