package schema

import "embed"

// ClickHouse holds the migrations of the store, numbered, one statement a
// file, safe to run twice.
//
//go:embed clickhouse/*.sql
var ClickHouse embed.FS
