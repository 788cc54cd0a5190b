package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestMessageTooLargeDoesNotKeepTheOthersFromBeingParked(t *testing.T) {
	cases := map[string]struct {
		change func(*jetstream.StreamConfig)
		size   int
		want   func(error) bool
	}{
		"for the server": {
			func(*jetstream.StreamConfig) {}, 2 << 20,
			func(err error) bool { return errors.Is(err, nats.ErrMaxPayload) },
		},
		"for the stream": {
			func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4000 }, 5000,
			func(err error) bool { return isAPI(err, 10054) },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t, stream.DefaultSettings())
			w.change(t, c.change)
			all := invalids(1, 50, 50)
			all[9] = invalids(10, 1, c.size)[0]
			errs := w.parker.ParkAll(t.Context(), all)
			if !c.want(errs[9]) {
				t.Errorf("the error of the large one is %v", errs[9])
			}
			if order := w.wantStored(t, all, errs); len(order) != 49 {
				t.Errorf("%d messages are parked, want 49", len(order))
			}
		})
	}
}

func isAPI(err error, code jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == code
}

func TestStreamThatTakesNoBatchesGetsTheMessagesOneByOne(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	w.change(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	all := invalids(1, 50, 50)
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
	if got := w.batches(t); len(got) != 50 {
		t.Errorf("they came in batches of %v", got)
	}
}

func TestMessagesAreParkedOneByOneWhereTooManyBatchesAreOpen(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	refused := ""
	for id := 0; refused == ""; id++ {
		m := nats.NewMsg("login.parked.other")
		m.Header = nats.Header{"Nats-Batch-Id": {fmt.Sprint(id)}, "Nats-Batch-Sequence": {"1"}}
		answer, err := w.asIngest.Conn().RequestMsgWithContext(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		refused = string(answer.Data)
	}
	if !strings.Contains(refused, "10210") {
		t.Fatalf("the batch is refused with %s", refused)
	}
	all := invalids(1, 50, 50)
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
	if got := w.batches(t); len(got) != 50 {
		t.Errorf("they came in batches of %v", got)
	}
}

// TestPublishersCannotTakeThePlacesOfParkedBatches: publishers may open batches of
// events until no more are taken.
func TestPublishersCannotTakeThePlacesOfParkedBatches(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	for refused, id := false, 0; !refused; id++ {
		m := nats.NewMsg("login.events.acme.login")
		m.Header = nats.Header{"Nats-Batch-Id": {fmt.Sprint(id)}, "Nats-Batch-Sequence": {"1"}}
		answer, err := w.asOperator.Conn().RequestMsgWithContext(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		refused = strings.Contains(string(answer.Data), "10210")
	}
	wantParked(t, w.parker.ParkAll(t.Context(), invalids(1, 50, 50)))
	if got := fmt.Sprint(w.batches(t)); got != "[50]" {
		t.Errorf("they came in batches of %s", got)
	}
}

func TestFullStreamIsToldForThoseThatDidNotGetIn(t *testing.T) {
	settings := stream.DefaultSettings()
	settings.ParkedMaxBytes = 1 << 20
	w := newWorkshop(t, settings)
	all := invalids(1, 2500, 250)
	errs := w.parker.ParkAll(t.Context(), all)
	order := w.wantStored(t, all, errs)
	if len(order) <= 1000 || len(order) > 2000 {
		t.Errorf("%d messages are parked, want one batch and a part of the second", len(order))
	}
	for i, err := range errs {
		if err != nil && !isAPI(err, 10077) {
			t.Fatalf("error of message %d is %v, want the stream's refusal", i, err)
		}
	}
	// Room again: what was refused gets in, and nothing of it twice.
	settings.ParkedMaxBytes = 0
	if err := stream.Ensure(t.Context(), w.asOperator, settings); err != nil {
		t.Fatal(err)
	}
	errs = w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
}

// Servers that know no batches, or answer of something else.
func TestAnswerThatDoesNotTellOfTheWholeBatchIsNotTakenForOne(t *testing.T) {
	const one = `{"stream":"LOGIN_PARKED","seq":1}`
	cases := map[string]struct{ opened, committed string }{
		"a server before 2.12":    {one, one},
		"empty":                   {"", ""},
		"no JSON":                 {"", "+OK"},
		"another batch":           {"", `{"stream":"LOGIN_PARKED","seq":3,"batch":"x","count":3}`},
		"another stream":          {"", `{"stream":"OTHER","seq":3,"batch":"ID","count":3}`},
		"fewer messages":          {"", `{"stream":"LOGIN_PARKED","seq":3,"batch":"ID","count":2}`},
		"an error beside success": {"", `{"stream":"LOGIN_PARKED","seq":3,"batch":"ID","count":3,"error":{"code":503}}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			js := connect(t, func(o *natsserver.Options) { o.JetStream = false })
			alone, batched := 0, 0
			if _, err := js.Conn().Subscribe("login.parked.>", func(m *nats.Msg) {
				answer := c.opened
				if m.Header.Get("Nats-Batch-Id") != "" {
					batched++
				}
				switch {
				case m.Header.Get("Nats-Batch-Commit") != "":
					answer = strings.ReplaceAll(c.committed, "ID", m.Header.Get("Nats-Batch-Id"))
				case m.Header.Get("Nats-Batch-Id") == "":
					answer = one
					alone++
				}
				_ = m.Respond([]byte(answer))
			}); err != nil {
				t.Fatal(err)
			}
			wantParked(t, stream.NewParker(js).ParkAll(t.Context(), invalids(1, 3, 10)))
			if alone != 3 {
				t.Errorf("%d messages were parked one by one, want all 3", alone)
			}
			if c.opened != "" && batched != 1 {
				t.Errorf("%d messages were sent in a batch that was not opened", batched)
			}
		})
	}
}
