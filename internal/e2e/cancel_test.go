package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/web"
)

// slowEngine is a ClickHouse whose table of events takes two seconds a row. It
// gives the reader's way to it, and a connection of the owner's.
func slowEngine(t *testing.T) (reader store.Config, owner driver.Conn) {
	t.Helper()
	ch := engine.NewClickHouse(engine.ClickHouseConfig{Dir: t.TempDir(), MemoryLimit: 1 << 30})
	if err := ch.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := ch.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	as := func(role engine.Role) store.Config {
		user, password := ch.Credentials(role)
		return store.Config{Addr: ch.Addr(), Database: "loginaudit", Username: user, Password: password}
	}
	if _, err := store.Migrate(t.Context(), as(engine.RoleOwner)); err != nil {
		t.Fatal(err)
	}
	user, password := ch.Credentials(engine.RoleOwner)
	owner, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{ch.Addr()}, Auth: clickhouse.Auth{Database: "loginaudit", Username: user, Password: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close() })
	writer, err := store.Open(t.Context(), as(engine.RoleWriter))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close() })
	if err := owner.Exec(t.Context(), "SYSTEM STOP MERGES events"); err != nil {
		t.Fatal(err)
	}
	for i := range slowRows { // each a part of its own, which is a block of its own
		e, hash, err := event.Decode(fmt.Appendf(nil,
			`{"id":"%d","account":"acme","username":"bob","occurred_at":"2026-11-01T09:30:00Z","entry":1,"status":1}`, i))
		if err != nil {
			t.Fatal(err)
		}
		row := event.Stored{Event: e, Hash: hash, Raw: []byte("{}"), ReceivedAt: e.OccurredAt, StreamSeq: uint64(i + 1)}
		if err := writer.Insert(t.Context(), []event.Stored{row}); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{
		"RENAME TABLE events TO quick", `CREATE VIEW events DEFINER = owner SQL SECURITY DEFINER AS SELECT * FROM quick WHERE sleep(2) = 0
			SETTINGS asterisk_include_alias_columns = 1, asterisk_include_materialized_columns = 1`,
	} {
		if err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return as(engine.RoleReader), owner
}

// slowRows are so many that two threads need 40 seconds for them.
const slowRows = 40

// running is how many questions about events ClickHouse works at.
func running(t *testing.T, owner driver.Conn) (n uint64) {
	t.Helper()
	const sql = `SELECT count() FROM system.processes WHERE user = 'reader' AND query LIKE '%FROM events%'`
	if err := owner.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAQuestionEndsInClickHouseWhenTheOneWhoAskedIsGone: nobody pays for an answer
// that nobody reads. The whole way is real: a connection that closes, the API, the
// store, a query that takes longer than the test.
func TestAQuestionEndsInClickHouseWhenTheOneWhoAskedIsGone(t *testing.T) {
	config, owner := slowEngine(t)
	reader, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	core, logs := observer.New(zap.InfoLevel)
	token := access.NewAdminToken()
	service, err := web.New(web.Config{
		Store: reader, Access: access.New(access.Config{Token: token}), Log: zap.New(core), QueryTimeout: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(service.Handler())
	defer server.Close()

	for _, path := range []string{"/events", "/facets"} {
		before := logs.FilterMessage("request").FilterField(zap.Int("status", 499)).Len()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/accounts/acme"+path, nil)
			if err != nil {
				left <- err
				return
			}
			r.Header.Set("Authorization", "Bearer "+token.Secret())
			res, err := server.Client().Do(r)
			if err == nil {
				err = fmt.Errorf("answered with %d", res.StatusCode)
				_ = res.Body.Close()
			}
			left <- err
		}()
		until(t, path+": the question runs", func() bool { return running(t, owner) > 0 })
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want that the asker left", path, err)
		}
		until(t, path+": nothing runs", func() bool { return running(t, owner) == 0 })
		until(t, path+": the log says that nobody waited", func() bool {
			return logs.FilterMessage("request").FilterField(zap.Int("status", 499)).Len() == before+1
		})
	}
}

// until waits for a condition, for less time than a slow question takes.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-look.C:
		}
	}
}
