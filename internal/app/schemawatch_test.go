package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/store"
)

// watched is a watch of a schema of which a test says what there is to see, and a
// sink behind it.
type watched struct {
	*schemaWatch
	sees error // of a look

	inserts int
	insert  func() error
}

func watching() *watched {
	w := &watched{insert: func() error { return nil }}
	w.schemaWatch = &schemaWatch{
		check: func(context.Context) error { return w.sees }, log: zap.NewNop(),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{Name: "differences"}),
	}
	return w
}

func (w *watched) NewBlock() ingest.Block { return nil }

func (w *watched) Insert(context.Context, ingest.Block, int, int, ingest.Begin) error {
	w.inserts++
	return w.insert()
}

func (w *watched) through(t *testing.T) error {
	t.Helper()
	return w.guard(w).Insert(t.Context(), nil, 0, 1, nil)
}

var (
	errViewMissing = fmt.Errorf("check tables: %w", &store.DifferenceError{
		Differences: []store.Difference{{Object: "view attempts_view", Missing: true, What: "is missing"}},
	})
	errAway = errors.New("clickhouse does not answer")
)

func TestInsertsAreHeldBackFromTheLookThatFindsADifferenceToTheOneThatFindsNone(t *testing.T) {
	w := watching()
	if err := w.through(t); err != nil || w.inserts != 1 {
		t.Errorf("error %v, %d inserts; want none and 1", err, w.inserts)
	}
	w.sees = errViewMissing
	if err := w.look(t.Context()); !errors.Is(err, errViewMissing) {
		t.Errorf("error %v, want what it saw", err)
	}
	if err := w.through(t); !errors.Is(err, errViewMissing) || store.Classify(err) != store.Retry || w.inserts != 1 {
		t.Errorf("error %v of class %s, %d inserts; want the difference, to be tried again, and 1", err, store.Classify(err), w.inserts)
	}
	w.sees = errAway // which tells nothing new
	if err := w.through(t); !errors.Is(err, errViewMissing) || w.inserts != 1 {
		t.Errorf("error %v, %d inserts; want the difference and 1", err, w.inserts)
	}
	w.sees = nil
	if err := w.through(t); err != nil || w.inserts != 2 {
		t.Errorf("error %v, %d inserts; want none and 2", err, w.inserts)
	}
}

func TestClickHouseThatDoesNotAnswerIsNoDifference(t *testing.T) {
	w := watching()
	w.sees = errAway
	if err := w.look(t.Context()); !errors.Is(err, errAway) || w.holds() != nil {
		t.Errorf("error %v, holds back for %v; want that it does not answer, and nothing", err, w.holds())
	}
}

// TestInsertDuringWhichADifferenceWasFoundIsRepeated: its rows may have come when
// the view was away already.
func TestInsertDuringWhichADifferenceWasFoundIsRepeated(t *testing.T) {
	w := watching()
	w.insert = func() error {
		w.sees = errViewMissing
		_ = w.look(t.Context())
		return nil
	}
	if err := w.through(t); !errors.Is(err, errViewMissing) {
		t.Errorf("error %v, want the difference", err)
	}
}

// TestInsertDuringWhichADifferenceWasFoundAndMendedIsRepeated: its rows may have
// come after the projection was filled, without the view.
func TestInsertDuringWhichADifferenceWasFoundAndMendedIsRepeated(t *testing.T) {
	w := watching()
	w.insert = func() error {
		w.sees = errViewMissing
		_ = w.look(t.Context())
		w.sees = nil
		_ = w.look(t.Context())
		return nil
	}
	if err := w.through(t); !errors.Is(err, errFoundMeanwhile) || store.Classify(err) != store.Retry {
		t.Errorf("error %v of class %s, want that it is to be repeated", err, store.Classify(err))
	}
	w.insert = func() error { return nil }
	if err := w.through(t); err != nil || w.inserts != 2 {
		t.Errorf("error %v, %d inserts; want none and 2", err, w.inserts)
	}
}

// TestInsertsAreHeldBackWhileNobodyCouldLookForAsLongAsMigrateWaits: a look that
// failed is no clean one, whatever the reason, and says nothing against the rows.
func TestInsertsAreHeldBackWhileNobodyCouldLookForAsLongAsMigrateWaits(t *testing.T) {
	for _, c := range []struct {
		sees error
		want store.Class
	}{
		{errAway, store.Retry},
		{&clickhouse.Exception{Code: 241}, store.Retry}, // no memory for the look
		{&clickhouse.Exception{Code: 497}, store.Stop},
	} {
		w := watching()
		if err := w.through(t); err != nil {
			t.Fatal(err)
		}
		w.sees = c.sees
		if err := w.through(t); err != nil || w.inserts != 2 {
			t.Errorf("error %v, %d inserts; want none and 2: it was looked at just now", err, w.inserts)
		}
		before := time.Now().Add(-schemaSettles - time.Second)
		w.clean.Store(&before)
		if err := w.through(t); err == nil || store.Classify(err) != c.want || w.inserts != 2 {
			t.Errorf("error %v of class %s, %d inserts; want one of class %s and 2", err, store.Classify(err), w.inserts, c.want)
		}
		w.sees = nil
		if err := w.through(t); err != nil || w.inserts != 3 {
			t.Errorf("error %v, %d inserts; want none and 3", err, w.inserts)
		}
	}
}

// TestRefusalOfTheSetUpWaitsOnlyWhereADifferenceExplainsIt: whoever makes the table
// again has the worker go on; nobody waits for rights.
func TestRefusalOfTheSetUpWaitsOnlyWhereADifferenceExplainsIt(t *testing.T) {
	w := watching()
	refusal := &clickhouse.Exception{Code: 60}
	w.insert = func() error { return refusal }
	if err := w.through(t); !errors.Is(err, refusal) || store.Classify(err) != store.Stop {
		t.Errorf("error %v, want the refusal", err)
	}
	w.sees = errViewMissing
	if err := w.through(t); !errors.Is(err, errViewMissing) || store.Classify(err) != store.Retry {
		t.Errorf("error %v of class %s, want the difference, to be tried again", err, store.Classify(err))
	}
}
