package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
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

// ParkedListSettings are those of "loginaudit parked list".
type ParkedListSettings struct {
	Account string `koanf:"account" help:"only messages whose subject names this account; _ for those that name none"`
	Reason  string `koanf:"reason" help:"only messages parked for this reason code"`
	FromSeq int    `koanf:"from-seq" help:"only messages from this sequence of LOGIN_PARKED on"`
	ParkedSettings
}

// ParkedShowSettings are those of "loginaudit parked show".
type ParkedShowSettings struct {
	Raw bool `koanf:"raw" help:"write the exact bytes of the body to standard output and nothing else"`
	ParkedSettings
}

// DefaultParked looks for a running serve in the default data directory.
func DefaultParked() ParkedSettings {
	return ParkedSettings{ClientSettings: ClientSettings{DataDir: DefaultDataDir}, Output: "table"}
}

// Validate names what is out of its range.
func (s ParkedListSettings) Validate() error {
	var err error
	if s.FromSeq < 0 {
		err = fmt.Errorf("from-seq: %d is not allowed; 0 or more", s.FromSeq)
	}
	return errors.Join(err, s.ParkedSettings.Validate())
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
	ParkedAt   time.Time           `json:"parked_at"`
	Reason     string              `json:"reason"`
	Field      string              `json:"field,omitempty"`
	Detail     string              `json:"detail"`
	Stream     string              `json:"stream"`
	StreamSeq  uint64              `json:"stream_seq"`
	ReceivedAt time.Time           `json:"received_at"`
	Subject    string              `json:"subject"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Size       int                 `json:"size"`
	Body       *string             `json:"body,omitempty"`
	BodyBase64 string              `json:"body_base64,omitempty"`
}

// summary is the message without its headers and body.
func parkedSummary(m stream.ParkedMessage) parkedJSON {
	return parkedJSON{
		Seq: m.Seq, ParkedAt: m.ParkedAt.UTC(), Reason: m.Reason, Field: m.Field, Detail: m.Detail,
		Stream: m.Stream, StreamSeq: m.StreamSeq, ReceivedAt: m.ReceivedAt.UTC(), Subject: m.Subject, Size: len(m.Body),
	}
}

func parkedWhole(m stream.ParkedMessage) parkedJSON {
	whole := parkedSummary(m)
	whole.Headers = m.Headers
	whole.BodyBase64 = base64.StdEncoding.EncodeToString(m.Body)
	if utf8.Valid(m.Body) {
		text := string(m.Body)
		whole.Body = &text
	}
	return whole
}

// inbox connects with the operator's key.
func (s ParkedSettings) inbox() (*stream.Inbox, *nats.Conn, error) {
	nc, err := s.connect(engine.UserOperator)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("open JetStream: %w", err)
	}
	return stream.NewInbox(js), nc, nil
}

// ListParked writes the parked messages of the filter, oldest first, without
// their bodies.
func ListParked(ctx context.Context, s ParkedListSettings, out io.Writer) error {
	inbox, nc, err := s.inbox()
	if err != nil {
		return err
	}
	defer nc.Close()
	list := parkedList{format: s.Output, out: out}
	filter := stream.ParkedFilter{Account: s.Account, Reason: s.Reason, FromSeq: uint64(s.FromSeq)}
	for m, err := range inbox.List(ctx, filter) {
		if err != nil {
			return fmt.Errorf("list parked messages: %w", err)
		}
		if err := list.add(parkedSummary(m)); err != nil {
			return err
		}
	}
	return list.end()
}

// parkedList writes a list in one of the formats.
type parkedList struct {
	format string
	out    io.Writer
	table  *tabwriter.Writer
	all    []parkedJSON
	n      int
}

func (l *parkedList) add(m parkedJSON) error {
	l.n++
	switch l.format {
	case "ndjson":
		return writeJSON(l.out, m, "")
	case "json":
		l.all = append(l.all, m)
		return nil
	}
	if l.table == nil {
		l.table = tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(l.table, "SEQ\tPARKED AT\tREASON\tFIELD\tSUBJECT\tSTREAM SEQ\tBYTES\tDETAIL")
	}
	_, err := fmt.Fprintf(l.table, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", m.Seq, m.ParkedAt.Format(time.RFC3339),
		Printable(m.Reason), Printable(m.Field), Printable(m.Subject), m.StreamSeq, m.Size, Printable(m.Detail))
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

func (l *parkedList) end() error {
	switch {
	case l.format == "json":
		if l.all == nil {
			l.all = []parkedJSON{}
		}
		return writeJSON(l.out, l.all, "  ")
	case l.format == "table" && l.n == 0:
		fmt.Fprintln(l.out, "nothing is parked")
	case l.table != nil:
		if err := l.table.Flush(); err != nil {
			return fmt.Errorf("write list: %w", err)
		}
	}
	return nil
}

// ShowParked writes one parked message: why it is there, its headers and its
// exact bytes.
func ShowParked(ctx context.Context, s ParkedShowSettings, seq uint64, out io.Writer) error {
	inbox, nc, err := s.inbox()
	if err != nil {
		return err
	}
	defer nc.Close()
	m, err := inbox.Get(ctx, seq)
	if err != nil {
		return fmt.Errorf("show parked message %d: %w", seq, err)
	}
	switch {
	case s.Raw:
		if _, err := out.Write(m.Body); err != nil {
			return fmt.Errorf("write body: %w", err)
		}
		return nil
	case s.Output == "table":
		return showParked(m, out)
	case s.Output == "ndjson":
		return writeJSON(out, parkedWhole(m), "")
	default:
		return writeJSON(out, parkedWhole(m), "  ")
	}
}

func showParked(m stream.ParkedMessage, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, Printable(value)) }
	row("sequence", fmt.Sprint(m.Seq))
	row("parked at", m.ParkedAt.UTC().Format(time.RFC3339Nano))
	row("reason", m.Reason)
	row("field", m.Field)
	row("detail", m.Detail)
	row("original", fmt.Sprintf("%s, sequence %d", m.Stream, m.StreamSeq))
	row("received at", m.ReceivedAt.UTC().Format(time.RFC3339Nano))
	row("subject", m.Subject)
	for _, name := range sortedKeys(m.Headers) {
		for _, value := range m.Headers[name] {
			row("header "+name, value)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	var lines []string
	for line := range strings.SplitSeq(string(m.Body), "\n") {
		lines = append(lines, Printable(line))
	}
	_, err := fmt.Fprintf(out, "body (%d bytes; --raw writes them as they are)\n%s\n", len(m.Body), strings.Join(lines, "\n"))
	if err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

// ParseSeq reads a sequence of LOGIN_PARKED.
func ParseSeq(text string) (uint64, error) {
	var seq uint64
	if _, err := fmt.Sscanf(text, "%d", &seq); err != nil || seq == 0 || fmt.Sprint(seq) != text {
		return 0, ops.Usagef("%q is not the sequence of a parked message: see \"loginaudit parked list\"", text)
	}
	return seq, nil
}
