package engine

// Role is one of the three users of the embedded ClickHouse.
type Role string

const (
	// RoleOwner creates and changes the tables: migrations run as it, and the
	// materialized views run with its rights.
	RoleOwner Role = "owner"
	// RoleWriter inserts rows and reads back only what tells it how far it is.
	RoleWriter Role = "writer"
	// RoleReader reads, and of the tables that belong to accounts only the rows
	// of the account that the query names in the setting log_comment.
	RoleReader Role = "reader"
)

// roles lists every role in a fixed order.
func roles() []Role { return []Role{RoleOwner, RoleWriter, RoleReader} }

// Table says what the writer and the reader may do with one table of the
// schema. A table that is not listed belongs to the owner alone.
type Table struct {
	// Name is the name of the table, without its database.
	Name string
	// Filter is the condition that ClickHouse adds to everything that the
	// reader reads from the table. Empty: every row may be read.
	Filter string
	// Insert says that the writer may insert into it. The tables that are fed
	// by materialized views need no such right: views insert as the owner.
	Insert bool
	// WriterReads says that the writer may read it.
	WriterReads bool
}

// The filters. An unset log_comment is the empty string, which is the name of no
// account, so a query that names no account sees no row. The live tail reads events
// of several accounts at once: it names them all, with commas, which no account's
// name holds.
const (
	oneAccount  = `account = getSetting('log_comment')`
	anyNamed    = `account IN splitByChar(',', getSetting('log_comment'))`
	orEveryName = `account = getSetting('log_comment') OR getSetting('log_comment') = '*'`
)

// Tables returns the rights of the writer and the reader, table by table. It is
// the only place that lists them: a table that is missing here cannot be read
// by the query service, and a test of the schema compares the two.
func Tables() []Table {
	return []Table{
		{Name: "events", Filter: anyNamed, Insert: true},
		{Name: "events_by_user", Filter: oneAccount},
		{Name: "event_ids", Filter: oneAccount},
		{Name: "user_latest", Filter: oneAccount},
		{Name: "attempts", Filter: oneAccount},
		{Name: "accounts", Filter: orEveryName},
		{Name: "watermarks", Insert: true, WriterReads: true},
		{Name: "pipeline_reports", Insert: true, WriterReads: true},
		{Name: "gaps", Insert: true, WriterReads: true},
		{Name: "goose_db_version", WriterReads: true},
	}
}

// peepholes are the table functions that read the keys of a table which may be
// read, past its row filter. They need no right of their own, but can be given
// a row filter themselves: no row.
func peepholes() []string {
	return []string{
		"mergeTreeIndex", "mergeTreeProjection", "mergeTreeTextIndex",
		"mergeTreeAnalyzeIndexes", "mergeTreeAnalyzeIndexesUUID",
	}
}
