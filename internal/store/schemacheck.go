package store

import (
	"context"
	_ "embed" // for the go:embed directive
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// madeJSON are the tables and views that the migrations make. The test of the
// golden schema writes it (-update) and holds it equal to the migrations.
//
//go:embed schema.json
var madeJSON []byte

// object is a table or view, as far as what is stored and answered depends on
// it. Settings, codecs, indexes and retention are the operator's to tune.
type object struct {
	Name string `json:"name"`
	// Engine has its arguments and nothing of replication.
	Engine string `json:"engine"`
	// Partition, Sorting and Columns are a table's; a column is its name, its type,
	// and DEFAULT or ALIAS with an expression where it has one.
	Partition string   `json:"partition_key,omitempty"`
	Sorting   string   `json:"sorting_key,omitempty"`
	Columns   []string `json:"columns,omitempty"`
	// Target, the table that it writes to, and Select are a view's.
	Target string `json:"target,omitempty"`
	Select string `json:"select,omitempty"`

	outputs []string // the names of the columns that a view writes
}

func (o object) String() string {
	if o.isView() {
		return "view " + o.Name
	}
	return "table " + o.Name
}

func (o object) isView() bool { return o.Engine == materializedView }

const materializedView = "MaterializedView"

// Difference is a table or view that is not as the migrations of this program
// make it.
type Difference struct {
	// Object is "table NAME" or "view NAME".
	Object string
	// Missing says that it is not there at all.
	Missing bool
	// What is wrong with it, in words.
	What string
}

// String is the difference in words, such as "view attempts_view is missing".
func (d Difference) String() string { return d.Object + " " + d.What }

// DifferenceError is the error of a database of the right version whose tables
// and views are not what the migrations make: what is inserted then misses in a
// projection.
type DifferenceError struct{ Differences []Difference }

// mostTold is how many differences an error names.
const mostTold = 5

// remedies is where the operator finds what helps against each difference.
const remedies = `docs/operations.md, "Views and tables that are missing or wrong"`

// Error names the differences and what helps.
func (e *DifferenceError) Error() string {
	told := make([]string, 0, mostTold+1)
	for i, d := range e.Differences {
		if i == mostTold {
			told = append(told, fmt.Sprintf("and %d more", len(e.Differences)-i))
			break
		}
		told = append(told, d.String())
	}
	return strings.Join(told, "; ") + ": " + e.remedy()
}

// remedy is what helps against all of them. Where one thing is wrong that Restore
// leaves alone, it does nothing about the others either.
func (e *DifferenceError) remedy() string {
	remedy := "a `loginaudit migrate` that runs ends this; if it was interrupted, run it again, or restart `loginaudit serve`"
	for _, d := range e.Differences {
		switch {
		case d.Object == "table "+restoring:
		case !d.Missing || d.Object == "table events":
			return "see " + remedies
		default:
			remedy = "run `loginaudit migrate`, or restart `loginaudit serve`"
		}
	}
	return remedy
}

// CheckTables returns a [*DifferenceError] unless every table and view of the
// migrations is there and is what they make it: engine, keys and columns of a
// table, what a view selects and where it writes to. More tables, views and
// columns than that are none of its business. It needs the writer or the owner,
// and costs one small question.
func (db *DB) CheckTables(ctx context.Context) error {
	want, err := madeObjects()
	if err != nil {
		return err
	}
	have, err := db.objects(ctx)
	if err != nil {
		return err
	}
	differences := compare(want, have)
	if len(differences) == 0 {
		return nil
	}
	if differences, err = db.certain(ctx, want, have, differences); err != nil || len(differences) == 0 {
		return err
	}
	return fmt.Errorf("check tables: %w", &DifferenceError{differences})
}

// madeObjects are those that the migrations make.
func madeObjects() ([]object, error) {
	var objects []object
	if err := json.Unmarshal(madeJSON, &objects); err != nil {
		return nil, fmt.Errorf("read schema.json: %w", err)
	}
	return objects, nil
}

// objects are the tables and views of the database that the user may see.
func (db *DB) objects(ctx context.Context) ([]object, error) {
	var all []object
	s := statement{name: "tables", sql: `
		SELECT name, engine, engine_full, partition_key, sorting_key, create_table_query, as_select, names, columns
		FROM system.tables AS t LEFT JOIN (
			SELECT table, groupArray(name) AS names, groupArray(rtrim(concat(name, ' ', type, ' ', default_kind, ' ', default_expression))) AS columns
			FROM (SELECT * FROM system.columns WHERE database = currentDatabase() ORDER BY table, position)
			GROUP BY table
		) AS c ON c.table = t.name
		WHERE database = currentDatabase()
		ORDER BY name`}
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		var o object
		var engineFull, create string
		var names, columns []string
		if err := rows.Scan(&o.Name, &o.Engine, &engineFull, &o.Partition, &o.Sorting, &create, &o.Select, &names, &columns); err != nil {
			return err
		}
		if o.isView() {
			o.Select, o.Target, o.outputs = db.unqualified(o.Select), db.unqualified(viewTarget(create)), names
		} else {
			o.Engine, o.Columns = plainEngine(engineFull), columns
		}
		all = append(all, o)
		return nil
	})
	return all, err
}

// unqualified is a statement without the name of the database.
func (db *DB) unqualified(sql string) string {
	name := regexp.QuoteMeta(db.database)
	return regexp.MustCompile("(`"+name+"`|\\b"+name+")\\.").ReplaceAllLiteralString(sql, "")
}

// viewTarget is the table that a view writes to, from the statement that made
// it: not every version of ClickHouse in use has a column for it.
func viewTarget(create string) string {
	_, rest, _ := strings.Cut(create, " TO ")
	target, _, _ := strings.Cut(rest, " ")
	return target
}

var (
	afterEngine    = regexp.MustCompile(` (PARTITION BY|PRIMARY KEY|ORDER BY|SAMPLE BY|TTL|SETTINGS) .*$`)
	ofReplication  = regexp.MustCompile(`^(Replicated|Shared)(\w*MergeTree)`)
	whereReplicate = regexp.MustCompile(`\('[^']*', '[^']*'(?:, )?`)
)

// plainEngine is an engine with its arguments, as a single server has it.
func plainEngine(full string) string {
	plain := afterEngine.ReplaceAllString(full, "")
	if m := ofReplication.FindStringIndex(plain); m == nil {
		return plain
	}
	plain = ofReplication.ReplaceAllString(plain, "$2")
	return strings.TrimSuffix(whereReplicate.ReplaceAllString(plain, "("), "()")
}

// words is a statement without what servers of different versions write in
// different ways: white space, quotes around names, and parentheses.
func words(sql string) string {
	var out strings.Builder
	inText := false
	for _, r := range sql {
		if r == '\'' {
			inText = !inText
		}
		if inText || !strings.ContainsRune(" \n\t`()", r) {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// compare lists what is wrong with the objects of a database.
func compare(want, have []object) (all []Difference) {
	for _, w := range want {
		at := slices.IndexFunc(have, func(h object) bool { return h.Name == w.Name })
		if at < 0 {
			all = append(all, Difference{Object: w.String(), Missing: true, What: "is missing"})
			continue
		}
		for _, what := range w.wrong(have[at]) {
			all = append(all, Difference{Object: w.String(), What: what})
		}
	}
	if slices.ContainsFunc(have, func(h object) bool { return h.Name == restoring }) {
		all = append(all, Difference{Object: "table " + restoring, What: "is there: projections are not filled to the end"})
	}
	return all
}

// mostOfAText is how much of a definition a difference quotes.
const mostOfAText = 200

func shortened(s string) string {
	if len(s) <= mostOfAText {
		return s
	}
	return s[:mostOfAText] + "…"
}

// wrong says what is wrong with the object that has the name of o.
func (o object) wrong(have object) (all []string) {
	same := func(what, want, got string) {
		if words(want) != words(got) {
			all = append(all, fmt.Sprintf("has the %s %q instead of %q", what, shortened(got), shortened(want)))
		}
	}
	same("engine", o.Engine, have.Engine)
	if o.isView() {
		same("target", o.Target, have.Target)
		if words(o.Select) != words(have.Select) {
			all = append(all, selectsOther)
		}
		return all
	}
	same("partition key", o.Partition, have.Partition)
	same("sorting key", o.Sorting, have.Sorting)
	for _, c := range o.Columns {
		name, _, _ := strings.Cut(c, " ")
		at := slices.IndexFunc(have.Columns, func(h string) bool { return strings.HasPrefix(h, name+" ") })
		if at < 0 {
			all = append(all, "has no column "+name)
			continue
		}
		same("column", c, have.Columns[at])
	}
	return all
}

const selectsOther = "selects something else"

// certain keeps the differences that are none of ours: a server of another
// version may write the same view in other words, and a user who may not see the
// tables misses all of them.
func (db *DB) certain(ctx context.Context, want, have []object, all []Difference) ([]Difference, error) {
	var certain []Difference
	for _, d := range all {
		if d.What == selectsOther {
			same, err := db.sameSelect(ctx, find(want, d), find(have, d))
			if err != nil {
				return nil, err
			}
			if same {
				continue
			}
		}
		certain = append(certain, d)
	}
	if !slices.ContainsFunc(certain, func(d Difference) bool { return d.Missing }) {
		return certain, nil
	}
	sees := uint8(1)
	s := statement{name: "rights", sql: "CHECK GRANT SHOW TABLES, SHOW COLUMNS ON " + quoteName(db.database) + ".*"}
	if err := db.selectRows(ctx, "", s, func(rows driver.Rows) error { return rows.Scan(&sees) }); err != nil {
		return nil, err
	}
	if sees == 0 {
		return nil, fmt.Errorf("check tables: %w: the user needs SHOW TABLES and SHOW COLUMNS on %s.*", ErrHidden, db.database)
	}
	return certain, nil
}

// ErrHidden is the error of a user who may not see which tables there are.
var ErrHidden = errors.New("tables cannot be seen")

func find(objects []object, d Difference) object {
	at := slices.IndexFunc(objects, func(o object) bool { return strings.HasSuffix(d.Object, " "+o.Name) })
	return objects[at]
}

// sameSelect lets the server itself write the view that is wanted.
func (db *DB) sameSelect(ctx context.Context, want, have object) (bool, error) {
	var written string
	s := statement{name: "view", sql: "SELECT ifNull(formatQuerySingleLineOrNull({wanted:String}), '')", params: params{"wanted": want.Select}}
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error { return rows.Scan(&written) })
	return words(written) == words(have.Select), err
}
