package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// askWait bounds one question to a server that may be broken.
const askWait = 10 * time.Second

// JetStream is a connection to NATS as the operator, past all proxies.
func (s *System) JetStream() jetstream.JetStream { return s.operator }

// StreamInfo asks for LOGIN_EVENTS.
func (s *System) StreamInfo() (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(s.tb.Context(), askWait)
	defer cancel()
	events, err := s.operator.Stream(ctx, stream.Events)
	if err != nil {
		return nil, err
	}
	return events.CachedInfo(), nil
}

// ConsumerInfo asks for the workers' consumer.
func (s *System) ConsumerInfo() (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(s.tb.Context(), askWait)
	defer cancel()
	consumer, err := s.operator.Consumer(ctx, stream.Events, stream.Consumer)
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo(), nil
}

// InHand is how many messages are delivered and not acknowledged, 0 while that
// cannot be asked for.
func (s *System) InHand() int {
	info, err := s.ConsumerInfo()
	if err != nil {
		return 0
	}
	return info.NumAckPending
}

// sql asks ClickHouse as the owner of the schema, past all proxies, on a
// connection of its own.
func (s *System) sql(ctx context.Context, ask func(ctx context.Context, conn driver.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.ClickHouse.Addr()},
		Auth: clickhouse.Auth{
			Database: "loginaudit",
			Username: string(engine.RoleOwner), Password: s.ClickHouse.ready.Keys[string(engine.RoleOwner)],
		},
		DialTimeout: askWait, ReadTimeout: askWait,
	})
	if err != nil {
		return err
	}
	return errors.Join(ask(ctx, conn), conn.Close())
}

// Exec runs a statement as the owner of the schema, past all proxies, and fails
// the test where it fails.
func (s *System) Exec(statement string) {
	s.tb.Helper()
	err := s.sql(s.tb.Context(), func(ctx context.Context, conn driver.Conn) error { return conn.Exec(ctx, statement) })
	if err != nil {
		s.tb.Fatalf("faults: %s: %v", statement, err)
	}
}

// Count asks for one number as the owner of the schema, past all proxies.
func (s *System) Count(statement string) (n uint64, err error) {
	err = s.sql(s.tb.Context(), func(ctx context.Context, conn driver.Conn) error {
		return conn.QueryRow(ctx, statement).Scan(&n)
	})
	return n, err
}

// Rows is how many distinct events are in ClickHouse.
func (s *System) Rows() (uint64, error) { return s.Count("SELECT count() FROM events FINAL") }

// Stored waits until at least so many distinct events are in ClickHouse.
func (s *System) Stored(n int) {
	s.tb.Helper()
	s.Until(fmt.Sprintf("%d events are stored", n), func() error {
		rows, err := s.Rows()
		return errors.Join(err, AtLeast(rows, uint64(n)))
	})
}

// get decodes the answer of a path of the API to the administrator into v.
func (s *System) get(ctx context.Context, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	status, body, err := testsystem.Fetch(ctx, s.Query.URL()+path, s.token)
	switch {
	case err != nil:
	case status == http.StatusNotFound:
		err = errNotFound
	case status != http.StatusOK:
		err = fmt.Errorf("status %d: %s", status, body)
	default:
		err = json.Unmarshal([]byte(body), v)
	}
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

var errNotFound = errors.New("status 404")

// Get asks the API as the administrator, and decodes the answer to a path
// (/api/v1/…) into v.
func (s *System) Get(path string, v any) error { return s.get(s.tb.Context(), path, v) }

// Watermark asks the API how complete its answers are.
func (s *System) Watermark() (query.Watermark, error) { return s.watermark(s.tb.Context()) }

func (s *System) watermark(ctx context.Context) (query.Watermark, error) {
	var page struct {
		Watermark query.Watermark `json:"watermark"`
	}
	err := s.get(ctx, accountPath(s.events.names[0])+"/events?limit=1", &page)
	return page.Watermark, err
}

func accountPath(account string) string { return "/api/v1/accounts/" + url.PathEscape(account) }

// list asks all pages of a list of the API and joins them.
func list[T any](s *System, path, name string, values url.Values) ([]T, error) {
	joined := []T{}
	for {
		var page map[string]json.RawMessage
		if err := s.Get(path+"?"+values.Encode(), &page); err != nil {
			return nil, err
		}
		var rows []T
		var cursor *string
		if err := errors.Join(json.Unmarshal(page[name], &rows), json.Unmarshal(page["next_cursor"], &cursor)); err != nil {
			return nil, fmt.Errorf("GET %s: %w", path, err)
		}
		joined = append(joined, rows...)
		if cursor == nil {
			return joined, nil
		}
		values.Set("cursor", *cursor)
	}
}
