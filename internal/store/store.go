// Package store is the only package that knows ClickHouse: it migrates the
// schema, inserts events, and answers every question of internal/query.
//
// Inserts are synchronous and durable, and may be repeated in any order, in any
// cut: rows are identified by their content, and every projection is
// commutative and idempotent. Answers never depend on whether ClickHouse has
// merged the repeats yet.
//
// Every statement about an account names that account twice: in its condition
// and in the setting by which the database confines the reader (row filters on
// log_comment), so that a statement that forgot its condition still sees
// nothing of another account.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// DefaultSessionLimit is how long a session without a closing event counts as
// open.
const DefaultSessionLimit = 24 * time.Hour

// Config says where ClickHouse is and as whom to speak to it.
type Config struct {
	// Addr is host:port of the native protocol; HTTP is never used.
	Addr string
	// Database holds the tables.
	Database string
	// Username and Password: the schema's owner for Migrate, the writer for
	// Insert and SetWatermark, the reader for everything else.
	Username, Password string
	// TLS is nil for a plain connection.
	TLS *tls.Config
	// SessionLimit is the age at which an open session counts as expired;
	// 0 means DefaultSessionLimit.
	SessionLimit time.Duration
	// Stream is the stream whose watermark answers carry; "" means
	// LOGIN_EVENTS.
	Stream string
	// WatermarkAge is how old the watermark of an answer may be, so that not every
	// question asks for it; 0 has it read for each.
	WatermarkAge time.Duration
	// MaxConnections bounds the pool; 0 means 10.
	MaxConnections int
}

// allAccounts is what a reader names to list the accounts themselves. It is no
// valid account.
const allAccounts = "*"

// dialTimeout bounds the making of a connection, from the wait for a place in the
// pool to the end of the sign-in.
const dialTimeout = 5 * time.Second

// DB is a pool of connections to ClickHouse. It is safe for concurrent use.
type DB struct {
	conn         driver.Conn
	writer       *writer
	database     string
	sessionLimit time.Duration
	stream       string

	markAge  time.Duration
	lastMark atomic.Pointer[readMark]
}

// Open makes the pool and checks that ClickHouse answers.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	conn, err := clickhouse.Open(cfg.options())
	if err != nil {
		return nil, fmt.Errorf("open clickhouse: %w", err)
	}
	db := &DB{conn: conn, writer: &writer{options: cfg.insertOptions()}, database: cfg.Database, sessionLimit: cfg.SessionLimit, stream: cfg.Stream, markAge: cfg.WatermarkAge}
	if db.sessionLimit <= 0 {
		db.sessionLimit = DefaultSessionLimit
	}
	if db.stream == "" {
		db.stream = "LOGIN_EVENTS"
	}
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return db, nil
}

func (c Config) options() *clickhouse.Options {
	maxOpen := c.MaxConnections
	if maxOpen <= 0 {
		maxOpen = 10
	}
	return &clickhouse.Options{
		Protocol:        clickhouse.Native,
		Addr:            []string{c.Addr},
		Auth:            clickhouse.Auth{Database: c.Database, Username: c.Username, Password: c.Password},
		TLS:             c.TLS,
		DialTimeout:     dialTimeout,
		ReadTimeout:     2 * time.Minute,
		MaxOpenConns:    maxOpen,
		MaxIdleConns:    maxOpen,
		ConnMaxLifetime: time.Hour,
		// The buffer of a large insert would otherwise stay with its connection.
		FreeBufOnConnRelease: true,
	}
}

// insertOptions are how blocks are sent.
func (c Config) insertOptions() ch.Options {
	return ch.Options{
		Address:     c.Addr,
		Database:    c.Database,
		User:        c.Username,
		Password:    c.Password,
		TLS:         c.TLS,
		DialTimeout: dialTimeout,
		// The greeting is the first thing that a server which hangs does not say.
		HandshakeTimeout: dialTimeout,
		ClientName:       "loginaudit",
	}
}

// Close releases the connections.
func (db *DB) Close() error {
	if err := errors.Join(db.conn.Close(), db.writer.close()); err != nil {
		return fmt.Errorf("close clickhouse: %w", err)
	}
	return nil
}

// selectRows runs a statement as a reader confined to account and hands each
// row to scan.
func (db *DB) selectRows(ctx context.Context, account string, s statement, scan func(driver.Rows) error) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"log_comment": account}))
	rows, err := db.conn.Query(ctx, s.sql, s.args()...)
	if err != nil {
		return db.selectError(ctx, "select "+s.name, err)
	}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return errors.Join(fmt.Errorf("scan %s: %w", s.name, err), rows.Close())
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return db.selectError(ctx, "select "+s.name, err)
	}
	return nil
}
