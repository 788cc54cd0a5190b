package store_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// TestAQuestionWithADeadlineIsAnswered: the driver tells the server of the
// deadline by a setting, which the confined reader must be allowed to send.
func TestAQuestionWithADeadlineIsAnswered(t *testing.T) {
	db := openDatabase(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := db.reader.Events(ctx, "a", query.EventFilter{Limit: 1}); err != nil {
		t.Error(err)
	}
}

func TestACancelledQuestionSaysSo(t *testing.T) {
	db := openDatabase(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.reader.Events(ctx, "a", query.EventFilter{Limit: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestAStoreThatIsGoneIsUnavailable(t *testing.T) {
	db := openDatabase(t)
	if err := db.reader.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.reader.Events(t.Context(), "a", query.EventFilter{Limit: 1}); !errors.Is(err, query.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}

func TestAMissingTableIsOurFaultNotThatOfTheReader(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "DROP TABLE events SYNC")
	_, err := db.reader.Events(t.Context(), "a", query.EventFilter{Limit: 1})
	if err == nil || errors.Is(err, query.ErrUnavailable) || errors.Is(err, query.ErrTooHeavy) {
		t.Errorf("%v, want an error of its own", err)
	}
}

// TestErrorsQuoteNoValues: they go into logs, which hold no personal data.
func TestErrorsQuoteNoValues(t *testing.T) {
	db := openDatabase(t)
	text := db.reader.FailOn(t, "ann@example.com")
	if !strings.Contains(text, "clickhouse code") || strings.Contains(text, "ann@example.com") {
		t.Errorf("%q; want the code and no value", text)
	}
}

// TestAQuestionThatTakesTooLongIsTooHeavyWhileClickHouseAnswersOthers: where it
// answers nobody, internal/faults looks.
func TestAQuestionThatTakesTooLongIsTooHeavyWhileClickHouseAnswersOthers(t *testing.T) {
	db := openDatabase(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := db.reader.AskFor(ctx, 2); !errors.Is(err, query.ErrTooHeavy) {
		t.Errorf("%v, want ErrTooHeavy", err)
	}
}

// TestEveryBoundOfAQuestionStopsItAsTooHeavy: the bounds are those of the reader's
// profile, which it cannot lift (internal/engine, internal/deploycheck).
func TestEveryBoundOfAQuestionStopsItAsTooHeavy(t *testing.T) {
	db := openDatabase(t)
	got := db.reader.AskTooMuch(t)
	want := map[string]int32{"rows to read": 158, "rows to answer": 396, "memory": 241, "time": 159}
	if !maps.Equal(got, want) {
		t.Errorf("stopped by the codes %v, want %v", got, want)
	}
}
