package query

import (
	"fmt"
	"strings"
	"time"
)

// The most gaps in the watermark of an answer, and in a [Status].
const (
	MaxGaps       = 10
	MaxStatusGaps = 1000
)

// GapReason says how messages were lost.
type GapReason string

// The reasons.
const (
	// GapExpired: they were the oldest, and the stream's limits (or a purge) took
	// them before they were ingested.
	GapExpired GapReason = "expired"
	// GapDeleted: somebody deleted them from the stream before they were ingested.
	GapDeleted GapReason = "deleted"
	// GapReplaced: the stream was deleted and made anew; what the old one held
	// beyond what was ingested is not known.
	GapReplaced GapReason = "replaced"
	// GapRewound: the stream was put back to an older copy of itself, or its server
	// lost the end of it; what it held beyond what was ingested is not known.
	GapRewound GapReason = "rewound"
)

// Gap is messages that the stream lost before they were stored or parked, so that
// no answer can ever have them.
type Gap struct {
	// FromSeq and ToSeq are the first and the last of them. ToSeq is null where
	// nobody knows how far the stream went.
	FromSeq uint64  `json:"from_seq"`
	ToSeq   *uint64 `json:"to_seq"`
	// Messages is how many of the sequences from FromSeq to ToSeq are lost; null
	// where that is not known.
	Messages *uint64   `json:"messages"`
	Reason   GapReason `json:"reason"`
	// FoundAt is when a worker noticed.
	FoundAt Timestamp `json:"found_at"`
	// StreamCreated tells which stream is meant where it was made anew since.
	StreamCreated Timestamp `json:"stream_created"`
}

// PipelineState sums a [Status] up in a word.
type PipelineState string

// The states.
const (
	// PipelineOK: answers are as fresh as they should be.
	PipelineOK PipelineState = "ok"
	// PipelineBehind: the worker works, but answers are more than BehindAfter old.
	PipelineBehind PipelineState = "behind"
	// PipelineStalled: nothing goes on, until somebody helps or a server is back.
	PipelineStalled PipelineState = "stalled"
	// PipelineUnknown: no worker has reported for SilentAfter.
	PipelineUnknown PipelineState = "unknown"
)

// When what is a bad sign. A worker reports every second.
const (
	BehindAfter  = 10 * time.Second
	StalledAfter = time.Minute
	SilentAfter  = 15 * time.Second
)

// Status tells the whole pipeline, from the stream to what can be queried. What
// the workers see comes from their reports; Reported tells how old it is.
type Status struct {
	State PipelineState `json:"state"`
	// Reasons tell in words why State is not ok, and what else needs attention.
	Reasons   []string  `json:"reasons"`
	Watermark Watermark `json:"watermark"`
	Lag       Lag       `json:"lag"`
	// Stream, Consumer and Parked are as the latest report has them; null where
	// there is none.
	Stream   *StreamStatus   `json:"stream"`
	Consumer *ConsumerStatus `json:"consumer"`
	Parked   *ParkedStatus   `json:"parked"`
	// LastCommit is when a worker last finished a batch, the latest of all; null
	// where none has since its start.
	LastCommit *Timestamp `json:"last_commit"`
	// Reported is when the latest report came, ReportAgeMS how long ago that is;
	// null where there is none.
	Reported    *Timestamp `json:"reported_at"`
	ReportAgeMS *int64     `json:"report_age_ms"`
	// Gaps are the latest found, at most MaxStatusGaps of GapsTotal.
	Gaps      []Gap          `json:"gaps"`
	GapsTotal int            `json:"gaps_total"`
	Workers   []WorkerStatus `json:"workers"`
	Versions  Versions       `json:"versions"`

	// Quiet is for how long no worker that reports has finished a batch, each by
	// its own clock; since its start where it has finished none.
	Quiet time.Duration `json:"-"`
}

// Lag is how far what can be queried is behind the stream.
type Lag struct {
	// Messages of the stream are not known to be stored or parked, as of the
	// latest report; null without one.
	Messages *uint64 `json:"messages"`
	// Seconds is how long ago everything that the stream had received could be
	// queried; null before the first report.
	Seconds *float64 `json:"seconds"`
}

// StreamStatus is the stream of events.
type StreamStatus struct {
	Name string `json:"name"`
	// Created tells one stream of the name from another, Generation one history
	// from another.
	Created    Timestamp  `json:"created"`
	Generation uint32     `json:"generation"`
	FirstSeq   uint64     `json:"first_seq"`
	LastSeq    uint64     `json:"last_seq"`
	FirstTime  *Timestamp `json:"first_time"`
	LastTime   *Timestamp `json:"last_time"`
	Messages   uint64     `json:"messages"`
	Bytes      uint64     `json:"bytes"`
	// MaxBytes and MaxAgeSeconds are its limits; null where it has none of its own.
	MaxBytes      *uint64  `json:"max_bytes"`
	MaxAgeSeconds *float64 `json:"max_age_seconds"`
	Replicas      int      `json:"replicas"`
}

// ConsumerStatus is how the workers stand in the stream.
type ConsumerStatus struct {
	// AckFloor: every message up to it is acknowledged. Pending messages are not
	// delivered yet, AckPending ones delivered and not acknowledged, and
	// Redelivered ones of these delivered more than once.
	AckFloor    uint64 `json:"ack_floor"`
	Pending     uint64 `json:"pending"`
	AckPending  uint64 `json:"ack_pending"`
	Redelivered uint64 `json:"redelivered"`
}

// ParkedStatus is the stream of parked messages. A worker asks for it every 5 s
// at most, so it may be up to 5 s older than the report that brings it.
type ParkedStatus struct {
	// Messages are there; Open of them wait for a decision, null where that is
	// not known.
	Messages uint64  `json:"messages"`
	Open     *uint64 `json:"open"`
	Bytes    uint64  `json:"bytes"`
	MaxBytes *uint64 `json:"max_bytes"`
	LastSeq  uint64  `json:"last_seq"`
	// LastTime is when the last one was parked.
	LastTime *Timestamp `json:"last_time"`
}

// WorkerStatus is one ingest worker.
type WorkerStatus struct {
	Name        string     `json:"name"`
	Version     string     `json:"version"`
	Started     Timestamp  `json:"started_at"`
	Reported    Timestamp  `json:"reported_at"`
	ReportAgeMS int64      `json:"report_age_ms"`
	LastCommit  *Timestamp `json:"last_commit"`
	// Trouble tells what keeps it from its work; null where nothing does.
	Trouble *string `json:"trouble"`
}

// Versions are those of the parts.
type Versions struct {
	Loginaudit string `json:"loginaudit"`
	ClickHouse string `json:"clickhouse"`
	// NATS is null before the first report.
	NATS   *string        `json:"nats"`
	Schema SchemaVersions `json:"schema"`
}

// SchemaVersions are the version that the database has and the one that this
// program needs.
type SchemaVersions struct {
	Database int64 `json:"database"`
	Program  int64 `json:"program"`
}

// Judge sets State and Reasons by all the rest.
func (s *Status) Judge() {
	s.State, s.Reasons = PipelineOK, []string{}
	because := func(state PipelineState, format string, args ...any) {
		if state.worse(s.State) {
			s.State = state
		}
		s.Reasons = append(s.Reasons, fmt.Sprintf(format, args...))
	}
	s.judgeReports(because)
	if s.State == PipelineUnknown {
		return // what follows would judge by what is no longer true
	}
	lag := time.Duration(0)
	if s.Lag.Seconds != nil {
		lag = time.Duration(*s.Lag.Seconds * float64(time.Second))
	}
	switch {
	case lag > StalledAfter && s.Quiet > StalledAfter:
		because(PipelineStalled, "answers are %s behind the stream, and no batch was finished for %s", round(lag), round(s.Quiet))
	case lag > BehindAfter:
		because(PipelineBehind, "answers are %s behind the stream", round(lag))
	}
	if v := s.Versions.Schema; v.Database != v.Program {
		because(PipelineStalled, "the database has schema version %d, this program needs %d", v.Database, v.Program)
	}
}

// judgeReports tells what is to be said of the workers.
func (s *Status) judgeReports(because func(PipelineState, string, ...any)) {
	if s.ReportAgeMS == nil {
		because(PipelineUnknown, "no ingest worker has reported since the database was started")
		return
	}
	if age := time.Duration(*s.ReportAgeMS) * time.Millisecond; age > SilentAfter {
		because(PipelineUnknown, "no ingest worker has reported for %s", round(age))
		return
	}
	working := 0
	var troubles []string
	for _, w := range s.Workers {
		switch {
		case time.Duration(w.ReportAgeMS)*time.Millisecond > SilentAfter:
		case w.Trouble != nil:
			troubles = append(troubles, fmt.Sprintf("worker %s: %s", w.Name, *w.Trouble))
		default:
			working++
		}
	}
	switch {
	case len(troubles) == 0:
	case working == 0:
		because(PipelineStalled, "%s", strings.Join(troubles, "; "))
	default:
		because(PipelineOK, "%s", strings.Join(troubles, "; "))
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// worse orders the states.
func (p PipelineState) worse(than PipelineState) bool {
	rank := map[PipelineState]int{PipelineOK: 0, PipelineBehind: 1, PipelineStalled: 2, PipelineUnknown: 3}
	return rank[p] > rank[than]
}
