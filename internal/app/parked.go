package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ParkedSettings are those of all "loginaudit parked" commands.
type ParkedSettings struct {
	ClientSettings
	Output string `koanf:"output" help:"form of the answer: table for people, json, or ndjson"`
}

// DefaultParked looks for a running serve in the default data directory.
func DefaultParked() ParkedSettings {
	return ParkedSettings{ClientSettings: ClientSettings{DataDir: DefaultDataDir}, Output: "table"}
}

// Validate names what is out of its range.
func (s ParkedSettings) Validate() error {
	var err error
	if !slices.Contains([]string{"table", "json", "ndjson"}, s.Output) {
		err = fmt.Errorf("output: %q is not allowed; use table, json or ndjson", s.Output)
	}
	return errors.Join(err, s.ClientSettings.Validate())
}

// parkedJSON is a parked message for programs. Body is the text where it is
// UTF-8; BodyBase64 is always the exact bytes.
type parkedJSON struct {
	Seq        uint64              `json:"seq"`
	State      stream.State        `json:"state"`
	SettledAt  time.Time           `json:"settled_at,omitzero"`
	SettledBy  string              `json:"settled_by,omitempty"`
	ParkedAt   time.Time           `json:"parked_at"`
	Reason     string              `json:"reason"`
	Field      string              `json:"field,omitempty"`
	Detail     string              `json:"detail"`
	Stream     string              `json:"stream"`
	StreamSeq  uint64              `json:"stream_seq"`
	ReceivedAt time.Time           `json:"received_at"`
	Subject    string              `json:"subject"`
	ReplayOf   uint64              `json:"replay_of,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Size       int                 `json:"size"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 string              `json:"body_base64,omitempty"`
	Notes      []noteJSON          `json:"notes,omitempty"`
}

// noteJSON is a note for programs.
type noteJSON struct {
	At   time.Time   `json:"at"`
	Step stream.Step `json:"step"`
	stream.Note
}

// parkedSummary is the message without its headers and body.
func parkedSummary(m stream.ParkedMessage) parkedJSON {
	return parkedJSON{
		Seq: m.Seq, State: m.State, SettledAt: m.SettledAt.UTC(), SettledBy: m.SettledBy,
		ParkedAt: m.ParkedAt.UTC(), Reason: m.Reason, Field: m.Field, Detail: m.Detail,
		Stream: m.Stream, StreamSeq: m.StreamSeq, ReceivedAt: m.ReceivedAt.UTC(), Subject: m.Subject,
		ReplayOf: m.ReplayOf, Size: len(m.Body),
	}
}

func parkedWhole(m stream.ParkedMessage, notes []stream.Note) parkedJSON {
	whole := parkedSummary(m)
	whole.Headers = m.Headers
	whole.BodyBase64 = base64.StdEncoding.EncodeToString(m.Body)
	if utf8.Valid(m.Body) {
		text := string(m.Body)
		whole.Body = &text
	}
	whole.Notes = notesJSON(notes)
	return whole
}

func notesJSON(notes []stream.Note) []noteJSON {
	var all []noteJSON
	for _, n := range notes {
		all = append(all, noteJSON{n.At.UTC(), n.Step, n})
	}
	return all
}

// parkedDoor is a connection to where parked messages are, with the operator's
// key.
type parkedDoor struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	inbox *stream.Inbox
	// ctx ends when NATS refuses something: there is no answer then to wait for.
	ctx    context.Context //nolint:containedctx // its end belongs to this connection
	cancel context.CancelCauseFunc
}

func (s ParkedSettings) open(ctx context.Context) (*parkedDoor, error) {
	nc, err := s.connect(engine.UserOperator)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	d := &parkedDoor{nc: nc, js: js, inbox: stream.NewInbox(js)}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			d.cancel(err)
		}
	})
	return d, nil
}

func (d *parkedDoor) close() {
	d.cancel(nil)
	d.nc.Close()
}

// reason is err, or what is behind it where NATS refused something.
func (d *parkedDoor) reason(err error) error {
	denied := context.Cause(d.ctx)
	if err == nil || !errors.Is(denied, nats.ErrPermissionViolation) {
		return err
	}
	return fmt.Errorf("%w (parked messages are the operator's: give the operator's key with --nkey FILE)", denied)
}

// who is the operator as notes name them.
func (d *parkedDoor) who(by string) stream.Who {
	if by == "" {
		name, host := fmt.Sprintf("uid%d", os.Getuid()), "unknown" // images have no list of users
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
		if h, err := os.Hostname(); err == nil {
			host = h
		}
		by = name + "@" + host
	}
	return stream.Who{By: by, NATSUser: natsUser(d.nc)}
}

// natsUser is as whom a connection is logged in: the public key, or the name
// where there is a password as well. A token is a secret and is never told.
func natsUser(nc *nats.Conn) string {
	if nc.Opts.Nkey != "" {
		return nc.Opts.Nkey
	}
	if nc.Opts.UserJWT != nil {
		if token, err := nc.Opts.UserJWT(); err == nil {
			return jwtSubject(token)
		}
	}
	if u, err := url.Parse(nc.ConnectedUrl()); err == nil && u.User != nil {
		if _, hasPassword := u.User.Password(); hasPassword {
			return u.User.Username()
		}
	}
	return ""
}

// jwtSubject is the public key to which a JWT was given (RFC 7519, "sub"). The
// server has checked it.
func jwtSubject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Sub string `json:"sub"`
	}
	if json.Unmarshal(claims, &c) != nil {
		return ""
	}
	return c.Sub
}

// ParseSeq reads a sequence of LOGIN_PARKED.
func ParseSeq(text string) (uint64, error) {
	var seq uint64
	if _, err := fmt.Sscanf(text, "%d", &seq); err != nil || seq == 0 || fmt.Sprint(seq) != text {
		return 0, ops.Usagef("%q is not the sequence of a parked message: see \"loginaudit parked list\"", text)
	}
	return seq, nil
}
