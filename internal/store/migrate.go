package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/loginaudit/loginaudit/schema"
)

// Applied is one migration that Migrate has run.
type Applied struct {
	Version int64
	Name    string
	Took    time.Duration
}

// Migrate brings the database to the schema of this program. It needs the
// schema's owner, creates the database when it is missing, and changes nothing
// when there is nothing to do.
func Migrate(ctx context.Context, cfg Config) (applied []Applied, err error) {
	if err := createDatabase(ctx, cfg); err != nil {
		return nil, err
	}
	pool := clickhouse.OpenDB(cfg.options())
	defer func() { err = errors.Join(err, pool.Close()) }()
	provider, err := migrations(pool)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		applied = append(applied, Applied{Version: r.Source.Version, Name: r.Source.Path, Took: r.Duration})
	}
	if err != nil {
		return applied, fmt.Errorf("migrate schema: %w", err)
	}
	return applied, nil
}

func migrations(pool *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(schema.ClickHouse, "clickhouse")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	provider, err := goose.NewProvider(database.DialectClickHouse, pool, files)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return provider, nil
}

// createDatabase connects to the server's default database, since the own one
// may not be there yet.
func createDatabase(ctx context.Context, cfg Config) (err error) {
	options := cfg.options()
	options.Auth.Database = ""
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("open clickhouse: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(cfg.Database)); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// quoteName quotes an identifier, which cannot be a parameter.
func quoteName(name string) string {
	quoted := []byte{'`'}
	for _, b := range []byte(name) {
		if b == '`' || b == '\\' {
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, b)
	}
	return string(append(quoted, '`'))
}

// SchemaVersion is the version that this program knows: that of its last
// migration.
func SchemaVersion() (int64, error) {
	files, err := fs.Glob(schema.ClickHouse, "clickhouse/*.sql")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	return goose.NumericComponent(files[len(files)-1])
}

// CheckSchema returns an error that wraps ErrSchema unless the database has
// exactly the schema that this program knows.
func (db *DB) CheckSchema(ctx context.Context) error {
	want, err := SchemaVersion()
	if err != nil {
		return err
	}
	var have int64
	s := statement{name: "schema version", sql: `SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1`}
	err = db.selectRows(ctx, "", s, func(rows driver.Rows) error { return rows.Scan(&have) })
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && (exception.Code == 60 || exception.Code == 81) {
		err, have = nil, 0 // no table or no database yet: nothing was ever applied
	}
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("check schema: %w: the database has %d, which another program made; this one needs %d: use that program, or the `loginaudit migrate` of a later one", ErrSchema, have, want)
	}
	if have != want {
		return fmt.Errorf("check schema: %w: the database has %d, this program needs %d: run `loginaudit migrate`", ErrSchema, have, want)
	}
	return nil
}
