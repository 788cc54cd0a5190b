package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
)

// Ensure creates the streams LOGIN_EVENTS, LOGIN_PARKED and LOGIN_PARKED_NOTES
// and the consumer ingest, or updates them, so that they match the settings;
// called again it changes nothing. Settings that loginaudit does not care for
// (placement, compression, republishing, metadata) stay as an operator made them.
//
// It never drops a message to get its way: what cannot be changed is told by a
// [*MismatchError]. (A shorter MaxAge or another MaxBytes are the operator's
// own wish and are applied.)
func Ensure(ctx context.Context, js jetstream.JetStream, settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	settings = settings.withDefaults()
	for _, want := range []jetstream.StreamConfig{eventsConfig(settings), parkedConfig(settings), notesConfig(settings)} {
		if err := ensureStream(ctx, js, want); err != nil {
			return fmt.Errorf("ensure stream %s: %w", want.Name, err)
		}
	}
	if err := ensureConsumer(ctx, js, consumerConfig(settings)); err != nil {
		return fmt.Errorf("ensure consumer %s of stream %s: %w", Consumer, Events, err)
	}
	return nil
}

func eventsConfig(s Settings) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               Events,
		Description:        "loginaudit: events of auth services",
		Subjects:           []string{eventsSubjects},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		Replicas:           s.Replicas,
		MaxBytes:           orUnlimited(s.MaxBytes),
		MaxAge:             s.MaxAge,
		MaxMsgs:            -1,
		MaxMsgsPerSubject:  -1,
		MaxConsumers:       -1,
		MaxMsgSize:         event.MaxBody + headersAllowance,
		Duplicates:         s.DuplicateWindow,
		AllowAtomicPublish: true,
		AllowDirect:        true,
		DenyDelete:         true,
		DenyPurge:          true,
	}
}

// parkedConfig lets an operator delete one message: that is how it is erased.
// Its messages are larger than those of LOGIN_EVENTS, so the server's own limit
// holds. It takes atomic batches for [Parker.ParkAll].
func parkedConfig(s Settings) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               Parked,
		Description:        "loginaudit: messages that break the contract, with the reason",
		Subjects:           []string{parkedSubjects},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		Replicas:           s.Replicas,
		MaxBytes:           orUnlimited(s.ParkedMaxBytes),
		MaxAge:             s.ParkedMaxAge,
		MaxMsgs:            -1,
		MaxMsgsPerSubject:  -1,
		MaxConsumers:       -1,
		MaxMsgSize:         -1,
		Duplicates:         s.ParkedDuplicateWindow,
		AllowAtomicPublish: true,
		AllowDirect:        true,
		DenyPurge:          true,
	}
}

// notesConfig keeps notes for ever and lets nobody remove one: they tell what
// became of messages that are no longer there. They are small, and only
// operators make them, so a limit would do more harm than good: in a full stream
// nothing could be discarded.
func notesConfig(s Settings) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              ParkedNotes,
		Description:       "loginaudit: what operators did with parked messages",
		Subjects:          []string{notesSubjects},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		Replicas:          s.Replicas,
		MaxBytes:          -1,
		MaxMsgs:           -1,
		MaxMsgsPerSubject: -1,
		MaxConsumers:      -1,
		MaxMsgSize:        -1,
		Duplicates:        s.DuplicateWindow,
		AllowDirect:       true,
		DenyDelete:        true,
		DenyPurge:         true,
	}
}

func orUnlimited(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, want)
		if err == nil || !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return refusal(ctx, js, want, err)
		}
		// Another process created it with other settings in this very moment.
		s, err = js.Stream(ctx, want.Name)
	}
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("read stream: JetStream is not enabled on the server, or not for this account: %w", err)
	}
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	there := s.CachedInfo().Config
	if err := immutable(want, there); err != nil {
		return err
	}
	merged, changed := merge(want, there)
	if !changed {
		return nil
	}
	_, err = js.UpdateStream(ctx, merged)
	return refusal(ctx, js, want, err)
}

// merge lays what loginaudit wants over what is there.
func merge(want, there jetstream.StreamConfig) (merged jetstream.StreamConfig, changed bool) {
	merged = there
	merged.Subjects = want.Subjects
	merged.Discard = want.Discard
	merged.DiscardNewPerSubject = false
	merged.Replicas = want.Replicas
	merged.MaxBytes = want.MaxBytes
	merged.MaxAge = want.MaxAge
	merged.MaxMsgs = want.MaxMsgs
	merged.MaxMsgsPerSubject = want.MaxMsgsPerSubject
	merged.MaxMsgSize = want.MaxMsgSize
	merged.Duplicates = want.Duplicates
	merged.AllowAtomicPublish = there.AllowAtomicPublish || want.AllowAtomicPublish
	merged.AllowDirect = true
	merged.DenyDelete = want.DenyDelete
	merged.DenyPurge = want.DenyPurge
	// A publisher could purge the stream by a rollup header.
	merged.AllowRollup = false
	// Without acknowledgements nobody would know what is stored.
	merged.NoAck = false
	// The subject says whose event it is.
	merged.SubjectTransform = nil
	changed = !slices.Equal(merged.Subjects, there.Subjects) ||
		merged.Discard != there.Discard ||
		merged.DiscardNewPerSubject != there.DiscardNewPerSubject ||
		merged.Replicas != there.Replicas ||
		merged.MaxBytes != there.MaxBytes ||
		merged.MaxAge != there.MaxAge ||
		merged.MaxMsgs != there.MaxMsgs ||
		merged.MaxMsgsPerSubject != there.MaxMsgsPerSubject ||
		merged.MaxMsgSize != there.MaxMsgSize ||
		merged.Duplicates != there.Duplicates ||
		merged.AllowAtomicPublish != there.AllowAtomicPublish ||
		merged.AllowDirect != there.AllowDirect ||
		merged.DenyDelete != there.DenyDelete ||
		merged.DenyPurge != there.DenyPurge ||
		merged.AllowRollup != there.AllowRollup ||
		merged.NoAck != there.NoAck ||
		there.SubjectTransform != nil
	return merged, changed
}

// immutable finds what an update cannot change, or must not.
func immutable(want, there jetstream.StreamConfig) error {
	checks := []struct {
		setting       string
		there, wanted any
	}{
		{"storage", there.Storage, want.Storage},
		{"retention", there.Retention, want.Retention},
		{"sealed", there.Sealed, false},
		{"mirror", there.Mirror != nil, false},
		{"sources", len(there.Sources) > 0, false},
		{"allow message TTL", there.AllowMsgTTL, false},
		{"allow message counter", there.AllowMsgCounter, false},
		{"allow message schedules", there.AllowMsgSchedules, false},
		{"persist mode", there.PersistMode, want.PersistMode},
		{"deny delete", there.DenyDelete, there.DenyDelete && want.DenyDelete},
		{"deny purge", there.DenyPurge, there.DenyPurge && want.DenyPurge},
	}
	for _, c := range checks {
		if c.there != c.wanted {
			return &MismatchError{
				Name: "stream " + want.Name, Setting: c.setting,
				There: fmt.Sprint(c.there), Wanted: fmt.Sprint(c.wanted),
			}
		}
	}
	return nil
}

// JetStream error codes (nats-server, server/errors.json).
const (
	codeTooFewPeers    = 10005
	codeNoStorage      = 10047
	codeSubjectOverlap = 10065
	codeNoReplicas     = 10074
	codeMaxStreamBytes = 10122
)

// refusal names the setting behind the server's refusal, where its code tells.
func refusal(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, err error) error {
	mismatch := &MismatchError{Name: "stream " + want.Name, Cause: err}
	switch {
	case err == nil:
		return nil
	case isAPI(err, codeSubjectOverlap):
		mismatch.Setting, mismatch.Wanted = "subjects", strings.Join(want.Subjects, ", ")
		mismatch.There = overlapping(ctx, js, want)
	case isAPI(err, codeNoReplicas, codeTooFewPeers):
		mismatch.Setting, mismatch.Wanted = "replicas", fmt.Sprint(want.Replicas)
		mismatch.There = "a server, or a cluster, without as many JetStream servers"
	case isAPI(err, codeNoStorage, codeMaxStreamBytes):
		mismatch.Setting, mismatch.Wanted = "max bytes", fmt.Sprint(want.MaxBytes)
		mismatch.There = "a server, or an account, with less storage"
	default:
		return fmt.Errorf("create or update: %w", err)
	}
	return mismatch
}

// overlapping names the streams that listen on want's subjects already.
func overlapping(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) string {
	var names []string
	for _, subject := range want.Subjects {
		lister := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
		for name := range lister.Name() {
			if name != want.Name {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return "taken by another stream"
	}
	return "taken by stream " + strings.Join(names, ", ")
}

func consumerConfig(s Settings) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       Consumer,
		Description:   "loginaudit: the ingest workers",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       s.AckWait,
		MaxDeliver:    -1,
		ReplayPolicy:  jetstream.ReplayInstantPolicy,
		MaxAckPending: s.MaxAckPending,
	}
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, want jetstream.ConsumerConfig) error {
	c, err := js.Consumer(ctx, Events, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = js.CreateOrUpdateConsumer(ctx, Events, want)
		return wrap("create", err)
	}
	if errors.Is(err, jetstream.ErrNotPullConsumer) {
		return consumerMismatch("mode", "push", "pull")
	}
	if err != nil {
		return wrap("read", err)
	}
	there := c.CachedInfo().Config
	checks := []struct {
		setting       string
		there, wanted any
	}{
		{"ack policy", there.AckPolicy, want.AckPolicy},
		{"deliver policy", there.DeliverPolicy, want.DeliverPolicy},
		{"replay policy", there.ReplayPolicy, want.ReplayPolicy},
		{"priority policy", there.PriorityPolicy, want.PriorityPolicy},
	}
	for _, check := range checks {
		if check.there != check.wanted {
			return consumerMismatch(check.setting, fmt.Sprint(check.there), fmt.Sprint(check.wanted))
		}
	}
	merged := there
	merged.AckWait, merged.MaxDeliver, merged.MaxAckPending = want.AckWait, want.MaxDeliver, want.MaxAckPending
	merged.BackOff, merged.FilterSubject, merged.FilterSubjects = nil, "", nil
	merged.HeadersOnly = false
	// A worker may be away for long; its place must not be forgotten.
	merged.InactiveThreshold = 0
	merged.MaxRequestBatch, merged.MaxRequestExpires, merged.MaxRequestMaxBytes = 0, 0, 0
	if same(merged, there) {
		return nil
	}
	_, err = js.UpdateConsumer(ctx, Events, merged)
	return wrap("update", err)
}

func same(a, b jetstream.ConsumerConfig) bool {
	return a.AckWait == b.AckWait && a.MaxDeliver == b.MaxDeliver && a.MaxAckPending == b.MaxAckPending &&
		len(b.BackOff) == 0 && b.FilterSubject == "" && len(b.FilterSubjects) == 0 && !b.HeadersOnly &&
		b.InactiveThreshold == 0 && b.MaxRequestBatch == 0 && b.MaxRequestExpires == time.Duration(0) &&
		b.MaxRequestMaxBytes == 0
}

func consumerMismatch(setting, there, wanted string) error {
	return &MismatchError{Name: "consumer " + Events + "/" + Consumer, Setting: setting, There: there, Wanted: wanted}
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s consumer: %w", verb, err)
}
