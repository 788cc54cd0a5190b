package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// RunIngest runs the worker against servers elsewhere until ctx ends. It waits
// for servers that do not answer yet, and refuses another schema.
func RunIngest(ctx context.Context, s IngestSettings, shown map[string]any) error {
	p, err := newProcess(ctx, "ingest", s.ProcessSettings, shown)
	if err != nil {
		return err
	}
	s.boundMemory()
	return p.until(ctx, func(ctx context.Context) error {
		if _, err := p.serveAdmin(ctx, s.AdminSettings); err != nil {
			return err
		}
		config, err := s.ClickHouse.config(0)
		if err != nil {
			return err
		}
		db, err := p.openStore(ctx, "clickhouse", config)
		if err != nil {
			return err
		}
		client, err := s.NATS.client("loginaudit ingest", true, p.log)
		if err != nil {
			return err
		}
		nc, err := client.connect()
		if err != nil {
			return err
		}
		p.life.OnStop("nats", func(context.Context) error { nc.Close(); return nil })
		p.checkNATS(nc)
		if err := p.ensureStreams(ctx, nc, s.StreamSettings, s.BatchSettings); err != nil {
			return err
		}
		js, err := jetstream.New(nc)
		if err != nil {
			return fmt.Errorf("open JetStream: %w", err)
		}
		var makeStreams func(context.Context) error
		if s.Ensure {
			makeStreams = func(ctx context.Context) error { return p.ensureStreams(ctx, nc, s.StreamSettings, s.BatchSettings) }
		}
		return p.ingest(ctx, js, db, s.BatchSettings, p.opener(js, makeStreams))
	})
}

// RunQuery answers the API and the page from a ClickHouse elsewhere until ctx
// ends. It waits for a server that does not answer yet, and refuses another
// schema.
func RunQuery(ctx context.Context, s QuerySettings, shown map[string]any) error {
	token, err := access.ParseAdminToken(s.AdminToken.Reveal())
	if err != nil {
		return ops.Usagef("admin-token: %w", err)
	}
	p, err := newProcess(ctx, "query", s.ProcessSettings, shown)
	if err != nil {
		return err
	}
	return p.until(ctx, func(ctx context.Context) error {
		if _, err := p.serveAdmin(ctx, s.AdminSettings); err != nil {
			return err
		}
		config, err := s.ClickHouse.config(s.SessionLimit)
		if err != nil {
			return err
		}
		db, err := p.openStore(ctx, "clickhouse", config)
		if err != nil {
			return err
		}
		at, err := p.query(ctx, db, token, s.HTTP, s.AnswerSettings)
		if err == nil {
			p.log.Info("answering", zap.String("http", at.addr))
		}
		return err
	})
}

// RunMigrate brings the schema up to date, as its owner, makes again what is missing
// of it, and tells what it did.
func RunMigrate(ctx context.Context, s MigrateSettings, out io.Writer) error {
	config, err := s.ClickHouse.config(0)
	if err != nil {
		return err
	}
	applied, err := store.Migrate(ctx, config)
	for _, m := range applied {
		fmt.Fprintf(out, "applied %d %s (%s)\n", m.Version, m.Name, m.Took.Round(time.Millisecond))
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	restored := 0
	err = store.Restore(ctx, config, store.RestoreConfig{
		Refill: s.Refill,
		Settle: schemaSettles,
		Tell: func(step string, took time.Duration) {
			restored++
			fmt.Fprintf(out, "%s (%s)\n", step, took.Round(time.Millisecond))
		},
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	version, err := store.SchemaVersion()
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if len(applied)+restored == 0 {
		fmt.Fprintln(out, "nothing to apply")
	}
	fmt.Fprintf(out, "schema version %d\n", version)
	if restored > 0 {
		fmt.Fprintf(out, "workers that run notice it within %s and go on by themselves\n", schemaSettles)
	}
	return nil
}
