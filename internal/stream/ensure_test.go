package stream_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func streamConfig(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestEnsureCreatesStreamsThatLoseNothing(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	events := streamConfig(t, js, stream.Events)
	parked := streamConfig(t, js, stream.Parked)
	notes := streamConfig(t, js, stream.ParkedNotes)
	for _, c := range []jetstream.StreamConfig{events, parked, notes} {
		if c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardNew || c.Storage != jetstream.FileStorage ||
			c.AllowRollup || c.NoAck || !c.DenyPurge || !c.AllowDirect {
			t.Errorf("stream %s is %+v", c.Name, c)
		}
	}
	if events.Subjects[0] != "login.events.>" || !events.DenyDelete || !events.AllowAtomicPublish || events.Duplicates != 2*time.Minute {
		t.Errorf("stream %s is %+v", events.Name, events)
	}
	if parked.Subjects[0] != "login.parked.>" || parked.DenyDelete || !parked.AllowAtomicPublish {
		t.Errorf("stream %s is %+v", parked.Name, parked)
	}
	if notes.Subjects[0] != "login.notes.>" || !notes.DenyDelete || notes.MaxAge != 0 || notes.MaxBytes != -1 {
		t.Errorf("stream %s is %+v", notes.Name, notes)
	}
	_, consumer, err := stream.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	c := consumer.CachedInfo().Config
	if c.Durable != "ingest" || c.AckPolicy != jetstream.AckExplicitPolicy || c.AckWait != time.Minute || c.MaxDeliver != -1 ||
		c.MaxAckPending != 300_000 || c.DeliverPolicy != jetstream.DeliverAllPolicy {
		t.Errorf("consumer is %+v", c)
	}
}

func TestEnsureTwiceChangesNothing(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	// What an update would do: JetStream tells every change on this subject.
	changes := make(chan *nats.Msg, 10)
	if _, err := js.Conn().ChanSubscribe("$JS.API.*.UPDATE.>", changes); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Conn().ChanSubscribe("$JS.API.CONSUMER.CREATE.>", changes); err != nil {
		t.Fatal(err)
	}
	ensure(t, js)
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n := len(changes); n != 0 {
		t.Errorf("the second Ensure asked for %d changes, the first: %s", n, (<-changes).Subject)
	}
}

func TestEnsureAppliesNewSettingsAndKeepsWhatTheOperatorMade(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	config := streamConfig(t, js, stream.Events)
	config.Compression = jetstream.S2Compression
	config.MaxMsgs = 5
	config.AllowRollup, config.DenyPurge = false, true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	settings := stream.DefaultSettings()
	settings.MaxBytes, settings.MaxAge = 1<<30, time.Hour
	settings.DuplicateWindow, settings.AckWait, settings.MaxAckPending = time.Second, 5*time.Second, 123
	if err := stream.Ensure(t.Context(), js, settings); err != nil {
		t.Fatal(err)
	}
	got := streamConfig(t, js, stream.Events)
	if got.MaxBytes != 1<<30 || got.MaxAge != time.Hour || got.Duplicates != time.Second || got.MaxMsgs != -1 {
		t.Errorf("stream is %+v", got)
	}
	if got.Compression != jetstream.S2Compression {
		t.Error("the operator's compression is gone")
	}
	_, consumer, err := stream.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	if c := consumer.CachedInfo().Config; c.AckWait != 5*time.Second || c.MaxAckPending != 123 {
		t.Errorf("consumer is %+v", c)
	}
}

func TestEnsureKeepsTheConsumersPlace(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	msg := deliver(t, js, &nats.Msg{Subject: "login.events.acme.login", Data: []byte("{}")})
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	settings := stream.DefaultSettings()
	settings.AckWait = 7 * time.Second
	if err := stream.Ensure(t.Context(), js, settings); err != nil {
		t.Fatal(err)
	}
	_, consumer, err := stream.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	if floor := consumer.CachedInfo().AckFloor.Stream; floor != 1 {
		t.Errorf("the acknowledgement floor is %d, want 1", floor)
	}
}

func TestBodyOfTheGreatestSizeIsAcceptedAndTwoKibibytesMoreAreNot(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	msg := nats.NewMsg("login.events.acme.login")
	msg.Data = make([]byte, event.MaxBody)
	for name, value := range map[string]string{ // all that the publisher sends, and a trace
		"Nats-Msg-Id":          strings.Repeat("f", 64),
		"Nats-Expected-Stream": stream.Events,
		"traceparent":          strings.Repeat("f", 55),
		"tracestate":           strings.Repeat("f", 512),
	} {
		msg.Header.Set(name, value)
	}
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Errorf("a body of %d bytes is refused: %v", len(msg.Data), err)
	}
	msg.Data = make([]byte, event.MaxBody+2<<10)
	msg.Header.Set("Nats-Msg-Id", "another")
	if _, err := js.PublishMsg(t.Context(), msg); !errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) {
		t.Errorf("a body of %d bytes gives %v, want a refusal", len(msg.Data), err)
	}
}

func TestEnsureRefusesAStreamThatCannotBeMadeToMatch(t *testing.T) {
	base := jetstream.StreamConfig{Name: stream.Events, Subjects: []string{"login.events.>"}}
	parkedBase := jetstream.StreamConfig{Name: stream.Parked, Subjects: []string{"login.parked.>"}}
	with := func(c jetstream.StreamConfig, change func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		change(&c)
		return c
	}
	cases := []struct {
		name    string
		there   jetstream.StreamConfig
		setting string
	}{
		{"memory storage", with(base, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }), "storage"},
		{"work queue", with(base, func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }), "retention"},
		{"interest", with(base, func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }), "retention"},
		{"message TTL", with(base, func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }), "allow message TTL"},
		{"counter", with(base, func(c *jetstream.StreamConfig) { c.AllowMsgCounter = true }), "allow message counter"},
		{"schedules", with(base, func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = true }), "allow message schedules"},
		{"async persistence", with(base, func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }), "persist mode"},
		{"sources", with(base, func(c *jetstream.StreamConfig) {
			c.Subjects, c.Sources = nil, []*jetstream.StreamSource{{Name: "OTHER"}}
		}), "sources"},
		{"mirror", with(base, func(c *jetstream.StreamConfig) {
			c.Subjects, c.Mirror = nil, &jetstream.StreamSource{Name: "OTHER"}
		}), "mirror"},
		{"parked without delete", with(parkedBase, func(c *jetstream.StreamConfig) { c.DenyDelete = true }), "deny delete"},
		{"subjects of another stream", with(base, func(c *jetstream.StreamConfig) { c.Name = "ELSE" }), "subjects"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			js := connect(t, nil)
			if _, err := js.CreateStream(t.Context(), c.there); err != nil {
				t.Fatal(err)
			}
			err := stream.Ensure(t.Context(), js, stream.DefaultSettings())
			var mismatch *stream.MismatchError
			if !errors.As(err, &mismatch) {
				t.Fatalf("error is %v, want a *MismatchError", err)
			}
			if mismatch.Setting != c.setting || mismatch.There == "" || mismatch.Wanted == "" {
				t.Errorf("error is %v, want it to name %s, what is there and what is wanted", err, c.setting)
			}
			if c.setting == "subjects" && !strings.Contains(err.Error(), "ELSE") {
				t.Errorf("error is %v, want it to name the other stream", err)
			}
		})
	}
}

func TestEnsureRefusesASealedStream(t *testing.T) {
	js := connect(t, nil)
	config := jetstream.StreamConfig{Name: stream.Events, Subjects: []string{"login.events.>"}}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	config.Sealed = true
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	var mismatch *stream.MismatchError
	if err := stream.Ensure(t.Context(), js, stream.DefaultSettings()); !errors.As(err, &mismatch) || mismatch.Setting != "sealed" {
		t.Errorf("error is %v, want a mismatch of sealed", err)
	}
}

func TestEnsureTellsWhatTheServerCannotGive(t *testing.T) {
	cases := map[string]stream.Settings{
		"replicas":  {Replicas: 3},
		"max bytes": {MaxBytes: 1 << 40},
	}
	for setting, settings := range cases {
		js := connect(t, func(o *natsserver.Options) { o.JetStreamMaxStore = 1 << 30 })
		err := stream.Ensure(t.Context(), js, settings)
		var mismatch *stream.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Setting != setting || mismatch.Cause == nil {
			t.Errorf("error is %v, want a mismatch of %s with the server's reason", err, setting)
		}
	}
}

func TestEnsureRefusesAConsumerThatCannotBeMadeToMatch(t *testing.T) {
	cases := map[string]jetstream.ConsumerConfig{
		"ack policy":      {AckPolicy: jetstream.AckAllPolicy},
		"deliver policy":  {AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy},
		"replay policy":   {AckPolicy: jetstream.AckExplicitPolicy, ReplayPolicy: jetstream.ReplayOriginalPolicy},
		"priority policy": {AckPolicy: jetstream.AckExplicitPolicy, PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"a"}},
	}
	for setting, there := range cases {
		js := connect(t, nil)
		ensure(t, js)
		if err := js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
			t.Fatal(err)
		}
		there.Durable = stream.Consumer
		if _, err := js.CreateConsumer(t.Context(), stream.Events, there); err != nil {
			t.Fatal(err)
		}
		wantConsumerMismatch(t, js, setting)
	}
	js := connect(t, nil)
	ensure(t, js)
	if err := js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
	push := jetstream.ConsumerConfig{Durable: stream.Consumer, DeliverSubject: "somewhere", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := js.CreatePushConsumer(t.Context(), stream.Events, push); err != nil {
		t.Fatal(err)
	}
	wantConsumerMismatch(t, js, "mode")
}

func wantConsumerMismatch(t *testing.T, js jetstream.JetStream, setting string) {
	t.Helper()
	err := stream.Ensure(t.Context(), js, stream.DefaultSettings())
	var mismatch *stream.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Setting != setting || !strings.Contains(err.Error(), "LOGIN_EVENTS/ingest") {
		t.Errorf("error is %v, want a mismatch of the consumer's %s", err, setting)
	}
}

func TestWrongSettingsAreRefusedByName(t *testing.T) {
	cases := map[string]stream.Settings{
		"Replicas":              {Replicas: 6},
		"MaxBytes":              {MaxBytes: 1},
		"ParkedMaxBytes":        {ParkedMaxBytes: -1},
		"MaxAge":                {MaxAge: -1},
		"ParkedMaxAge":          {ParkedMaxAge: 1},
		"DuplicateWindow":       {DuplicateWindow: 1},
		"ParkedDuplicateWindow": {ParkedDuplicateWindow: -1},
		"AckWait":               {AckWait: 1},
		"MaxAckPending":         {MaxAckPending: -1},
	}
	for name, settings := range cases {
		err := stream.Ensure(t.Context(), nil, settings)
		if err == nil || !strings.Contains(err.Error(), " "+name+" must be") {
			t.Errorf("error is %v, want it to name %s", err, name)
		}
	}
}

func TestOpenTellsWhatIsMissing(t *testing.T) {
	js := connect(t, nil)
	if _, _, err := stream.Open(t.Context(), js); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("error is %v, want ErrStreamNotFound", err)
	}
	ensure(t, js)
	if err := js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
	if _, _, err := stream.Open(t.Context(), js); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("error is %v, want ErrConsumerNotFound", err)
	}
}

func TestEnsureTellsThatJetStreamIsOff(t *testing.T) {
	js := connect(t, func(o *natsserver.Options) { o.JetStream = false })
	err := stream.Ensure(t.Context(), js, stream.DefaultSettings())
	if !errors.Is(err, nats.ErrNoResponders) || !strings.Contains(err.Error(), "JetStream is not enabled") {
		t.Errorf("error is %v, want it to say that JetStream is not enabled", err)
	}
}
