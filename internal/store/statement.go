package store

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/event"
)

// statement is a SELECT with its server-side parameters. Text from outside
// goes into params only, never into sql.
type statement struct {
	name   string // for errors: what is selected
	sql    string
	params params
}

// params are the values of the {name:Type} places of a statement.
type params map[string]any

// args are the parameters as the driver takes them.
func (s statement) args() []any {
	args := make([]any, 0, len(s.params))
	for _, name := range slices.Sorted(maps.Keys(s.params)) {
		args = append(args, clickhouse.Named(name, s.params[name]))
	}
	return args
}

// conditions are the parts of a WHERE clause, joined by AND.
type conditions struct {
	parts  []string
	params params
}

// where starts a clause with the condition that no statement may lack.
func where(account string) *conditions {
	return &conditions{
		parts:  []string{"account = {account:String}"},
		params: params{"account": account},
	}
}

// add appends a condition that has no parameter of its own.
func (c *conditions) add(part string) { c.parts = append(c.parts, part) }

// bind appends a condition with one parameter.
func (c *conditions) bind(part, name string, value any) {
	c.add(part)
	c.params[name] = value
}

func (c *conditions) String() string { return strings.Join(c.parts, " AND ") }

// codeList writes codes as an SQL list. An empty list, which would be no SQL,
// becomes one that matches no code.
func codeList[C ~uint8](codes []C) string {
	if len(codes) == 0 {
		return "0"
	}
	parts := make([]string, len(codes))
	for i, c := range codes {
		parts[i] = strconv.Itoa(int(c))
	}
	return strings.Join(parts, ", ")
}

// statusesWhere lists the statuses that keep accepts, as an SQL list.
func statusesWhere(keep func(event.Status) bool) string {
	var kept []event.Status
	for _, s := range event.Statuses() {
		if keep(s) {
			kept = append(kept, s)
		}
	}
	return codeList(kept)
}

func opens(s event.Status) bool  { return s.Session() == event.SessionOpens }
func closes(s event.Status) bool { return s.Session() == event.SessionCloses }

// The instants of parameters travel as microseconds: an Int64 has one form,
// whatever the zone of the server.
const (
	asOfParam = "fromUnixTimestamp64Micro({as_of:Int64}, 'UTC')"
	never     = "toDateTime64(0, 6, 'UTC')"
)

func micros(t time.Time) int64 { return t.UnixMicro() }
