package query

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

func TestStatusSetIsWhatEveryFilterOfStatusesLetsThrough(t *testing.T) {
	for _, c := range []struct {
		name string
		f    EventFilter
		want []event.Status
		all  bool
	}{
		{"nothing asked", EventFilter{}, nil, true},
		{"statuses", EventFilter{Statuses: []event.Status{5, 1}}, []event.Status{1, 5}, false},
		{"kind", EventFilter{Kinds: []event.Kind{event.KindLogout}}, []event.Status{2, 6, 7}, false},
		{"outcome", EventFilter{Outcomes: []event.Outcome{event.OutcomePending}}, []event.Status{24, 25}, false},
		{"kind and outcome", EventFilter{
			Kinds: []event.Kind{event.KindReset, event.KindLogout}, Outcomes: []event.Outcome{event.OutcomeFailure},
		}, []event.Status{14}, false},
		{"nothing is both", EventFilter{Statuses: []event.Status{1}, Kinds: []event.Kind{event.KindLogout}}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if set, all := c.f.StatusSet(); !slices.Equal(set, c.want) || all != c.all {
				t.Errorf("%v, %v; want %v, %v", set, all, c.want, c.all)
			}
		})
	}
}

func TestTimestampIsUTCWithMicroseconds(t *testing.T) {
	at := At(time.Date(2026, 11, 1, 9, 30, 0, 500, time.FixedZone("", 3600)))
	text, err := json.Marshal(at)
	if err != nil || string(text) != `"2026-11-01T08:30:00.000000Z"` {
		t.Errorf("%s, %v", text, err)
	}
	var back Timestamp
	if err := json.Unmarshal([]byte(`"2026-11-01T09:30:00+01:00"`), &back); err != nil || back.String() != at.String() {
		t.Errorf("%s, %v", back, err)
	}
	for _, bad := range []string{`1`, `"x"`, `"2026-11-01"`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s is a timestamp", bad)
		}
	}
}

func TestPositionOfAnEventIsItsPlaceInTheOrder(t *testing.T) {
	e := Event{OccurredAt: At(noon), Status: 1, Hash: event.Hash{7}}
	if got, want := e.Position(), (Position{At: noon, Rank: 3, Hash: event.Hash{7}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
