package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// naive measures the worker that one writes first, on the same stream and
// tables: one message fetched at a time, rows appended one by one, one
// acknowledgement each. Its batches are as large as the worker's.
func naive(ctx context.Context, b *bench) error {
	if err := b.rewind(ctx); err != nil {
		return err
	}
	nc, js, err := b.connect(engine.UserIngest)
	if err != nil {
		return err
	}
	defer nc.Close()
	_, consumer, err := stream.Open(ctx, js)
	if err != nil {
		return err
	}
	user, password := b.clickhouse.Credentials(engine.RoleWriter)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{b.clickhouse.Addr()},
		Auth: clickhouse.Auth{Database: database, Username: user, Password: password},
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	n := min(b.options.naive, b.options.events)
	before, began := b.usage(nil), time.Now()
	for done := 0; done < n; {
		some, err := naiveBatch(ctx, conn, consumer, min(batchSize, n-done))
		if err != nil {
			return err
		}
		done += some
	}
	b.add("naive worker", n, time.Since(began), b.usage(nil).since(before).perEvent(n))
	return nil
}

// naiveBatch stores the next messages and gives their number.
func naiveBatch(ctx context.Context, conn driver.Conn, consumer jetstream.Consumer, n int) (int, error) {
	batch, err := conn.PrepareBatch(ctx, `INSERT INTO events (account, occurred_at, rank, content_hash, id_text, username, entry, status,
		session_id, ip, user_agent, service, mfa_method, device_id, request_id, reason, attributes, outline, received_after, version)`)
	if err != nil {
		return 0, err
	}
	messages := make([]jetstream.Msg, 0, n)
	for len(messages) < n {
		msg, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return 0, errors.Join(err, batch.Abort())
		}
		if err := appendRow(batch, msg); err != nil {
			return 0, errors.Join(err, batch.Abort())
		}
		messages = append(messages, msg)
	}
	if err := batch.Send(); err != nil {
		return 0, err
	}
	for _, msg := range messages {
		if err := msg.Ack(); err != nil {
			return 0, err
		}
	}
	return len(messages), nil
}

func appendRow(batch driver.Batch, msg jetstream.Msg) error {
	e, hash, err := event.Decode(msg.Data())
	if err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	attributes := e.Attributes
	if attributes == nil {
		attributes = map[string]string{}
	}
	var ip any
	if e.IP.IsValid() {
		ip = e.IP.String()
	}
	return batch.Append(e.Account, e.OccurredAt, e.Status.Rank(), string(hash[:]), e.ID, e.Username, uint8(e.Entry), uint8(e.Status),
		e.SessionID, ip, e.UserAgent, e.Service, string(e.MFAMethod), e.DeviceID, e.RequestID, e.Reason, attributes, string(msg.Data()),
		meta.Timestamp.UnixMicro()-e.OccurredAt.UnixMicro(), ^meta.Sequence.Stream)
}
