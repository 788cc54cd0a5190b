package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// definition is a value of a row, by an expression over the values of the
// layers before it.
type definition struct{ name, expression string }

// values are what the loader can insert into the columns of events, in one place
// for changes of the schema. Those that the table stores are inserted.
func values() []definition {
	return []definition{
		{"account", "account"},
		{"occurred_at", "fromUnixTimestamp64Micro(toInt64(at), 'UTC')"},
		{"rank", "rank"},
		{"content_hash", "sipHash128(seed, thing)"},
		{"id", "id"},
		{"id_text", "''"},
		{"id_high", "id_start - bitShiftLeft(intDiv(at, 1000), 16)"},
		{"id_low", "id_end"},
		{"username", "username"},
		{"entry", "entry"},
		{"status", "status"},
		{"session_id", "session_id"},
		{"ip", "ip"},
		{"user_agent", "user_agent"},
		{"service", "service"},
		{"mfa_method", "mfa_method"},
		{"device_id", "device_id"},
		{"request_id", "request_id"},
		{"reason", "reason"},
		{"attributes", "attributes"},
		{"outline", "outline"},
		{"received_at", "fromUnixTimestamp64Micro(toInt64(received), 'UTC')"},
		{"received_after", "toInt64(received) - toInt64(at)"},
		{"ingested_at", "fromUnixTimestamp64Micro(toInt64(ingested), 'UTC')"},
		{"ingested_after", "toInt64(intDiv(ingested, 1000)) - toInt64(intDiv(received, 1000))"},
		{"version", "bitNot(1 + intDiv(received - from_us, seq_us))"},
	}
}

// span is the time that the set covers.
type span struct{ from, until time.Time }

// set is what is loaded.
type set struct {
	population
	span
	// frames is how many times the frame is repeated; with the users' first
	// visits they make the events.
	frames uint64
}

// newSet plans a set of about so many events (at most a frame fewer) that ends
// at a moment.
func newSet(events int, seed uint64, until time.Time) set {
	p := newPopulation(events, seed)
	s := set{population: p, span: span{from: until.AddDate(-years, 0, 0), until: until}}
	s.frames = uint64(max(events-int(p.users()), 0) / len(allSteps().step))
	return s
}

// years is how far the set goes back.
const years = 3

func (s set) micros() uint64 { return uint64(s.until.Sub(s.from).Microseconds()) }

// events is how many events are made; those of the last sessions that would lie
// behind the end are left out.
func (s set) events() uint64 { return s.users() + s.frames*uint64(len(allSteps().step)) }

// blocks is into how many inserts the set is cut, each a stretch of time.
func (s set) blocks() uint64 { return max(1, s.events()/blockEvents) }

const blockEvents = 1_000_000

// insert is the statement that makes one block, of values for some columns.
func (s set) insert(block uint64, columns []definition) string {
	part := func(all uint64) (from, n uint64) {
		from = all * block / s.blocks()
		return from, all*(block+1)/s.blocks() - from
	}
	visit, visits := part(s.users())
	framesFrom, frames := part(s.frames)
	size := uint64(len(allSteps().step))
	from := fmt.Sprintf("(SELECT number AS n FROM numbers_mt(%d))", visits+frames*size)
	for _, layer := range s.layers(visit, visits, framesFrom*size) {
		var all []string
		for _, d := range layer {
			all = append(all, d.expression+" AS "+d.name)
		}
		from = "(SELECT *, " + strings.Join(all, ",\n ") + "\nFROM " + from + ")"
	}
	var names, expressions []string
	for _, c := range columns {
		names = append(names, c.name)
		expressions = append(expressions, c.expression)
	}
	return "INSERT INTO " + database + ".events (" + strings.Join(names, ", ") + ")\nSELECT " +
		strings.Join(expressions, ", ") + "\nFROM " + from + "\nWHERE at < until_us"
}

// layers make a row of its number n: the first rows are first visits, the others
// steps of sessions.
func (s set) layers(visit, visits, row uint64) [][]definition {
	all := allSteps()
	size := uint64(len(all.step))
	each := func(value func(step) int) string {
		var list []int
		for _, st := range all.step {
			list = append(list, value(st))
		}
		return numbers(list)
	}
	at := func(list string) string { return list + "[place]" }
	return append([][]definition{
		{
			{"seed", number(s.seed)}, {"from_us", number(uint64(s.from.UnixMicro()))}, {"until_us", number(uint64(s.until.UnixMicro()))},
			{"seq_us", number(max(1, s.micros()/s.events()))},
			{"first", fmt.Sprintf("n < %d", visits)},
			{"visit", fmt.Sprintf("toUInt64(if(first, n + %d, 0))", visit)},
			{"step", fmt.Sprintf("toUInt64(if(first, 0, n - %d + %d))", visits, row)},
		},
		{
			{"frame", fmt.Sprintf("intDiv(step, %d)", size)},
			{"place", fmt.Sprintf("if(first, 0, step %% %d + 1)", size)},
			{"thing", fmt.Sprintf("toUInt64(if(first, visit, %d + step))", s.users())},
		},
		{
			// Sessions and users are numbered apart, so that no two draw alike.
			{"session", fmt.Sprintf("toUInt64(if(first, visit + %d, frame * %d + %s))", firstVisits, all.sessions, at(numbers(all.session)))},
			{"is_job", at(each(func(st step) int { return bit(st.job) })) + " AND " + s.drawSQL("session", drawJob) + " % 8 = 0"},
			{"status", fmt.Sprintf("toUInt8(multiIf(first, %s[1 + %s %% %d], %s = 1, %s[1 + %s %% %d], %s))",
				numbers(firstStatuses[:]), s.drawSQL("session", drawRare), len(firstStatuses),
				at(each(func(st step) int { return bit(st.once) })), numbers(rareStatuses[:]), s.drawSQL("session", drawRare), len(rareStatuses),
				at(each(func(st step) int { return int(st.status) })))},
			{"quick", at(each(func(st step) int { return st.quick }))},
			{"late", at(each(func(st step) int { return st.late }))},
			{"idle", at(each(func(st step) int { return st.idle }))},
		},
	}, append(s.whoAndWhen(), s.what()...)...)
}

// firstVisits is where the numbers of the sessions begin that are first visits.
const firstVisits = 1 << 48

// userThings is where the numbers of users begin in draws about them.
const userThings = 1 << 50

// whoAndWhen are the layers from the session to user, account and times.
func (s set) whoAndWhen() [][]definition {
	users, rest := s.users(), s.starts[midAccount+1]
	starts := s.starts[:s.accounts()]
	indexes, sizes, names := make([]int, len(starts)), make([]uint64, len(starts)), make([]string, len(starts))
	for i := range starts {
		indexes[i], sizes[i], names[i] = i, s.size(i), accountName(i)
	}
	perFrame := max(1, s.micros()/max(1, s.frames))
	perVisit := max(1, s.micros()/users)
	return [][]definition{
		{
			{"lot", s.drawSQL("session", drawLot) + fmt.Sprintf(" %% %d", sharesInAll)},
			{"near", fmt.Sprintf("toUInt64(multiIf(first, (visit * %d + %d) %% %d, lot < %d, 0, lot < %d, %d, lot < %d, 0, %d + %s %% %d))",
				s.stride, s.offset, users, s.heavyShare, s.heavyShare+midShare, s.starts[midAccount],
				s.heavyShare+midShare+hugeShare, rest, s.drawSQL("session", drawUser), users-rest)},
			{"v", "bitShiftRight(" + s.drawSQL("session", drawWithin) + ", 32)"},
		},
		{
			{"base", "roundDown(near, " + numbers64(starts) + ")"},
			{"cube", "bitShiftRight(bitShiftRight(v * v, 32) * v, 32)"},
		},
		{
			{"account_no", "toUInt64(transform(base, " + numbers64(starts) + ", " + numbers(indexes) + ", 0))"},
			{"size", "toUInt64(transform(base, " + numbers64(starts) + ", " + numbers64(sizes) + ", toUInt64(0)))"},
		},
		{
			{"within", fmt.Sprintf("toUInt64(multiIf(first, near - base, lot < %d, 0, is_job AND size > %d, %d, bitShiftRight(cube * (size - intDiv(size, %d)), 32)))",
				s.heavyShare, jobs, jobs, onceOneIn)},
			{"account", "transform(base, " + numbers64(starts) + ", " + texts(names) + ", '')"},
		},
		{
			{"user", fmt.Sprintf("%d + base + within", userThings)},
			{"username", userNameSQL()},
			{"prompt", fmt.Sprintf("1000000 + %s %% 11000000", s.drawSQL("session", drawPrompt))},
			{"work", fmt.Sprintf("180000000 + %s %% 7020000000", s.drawSQL("session", drawWork))},
			{"begun", fmt.Sprintf("from_us + if(first, visit * %d + %s %% %d, frame * %d + %s %% %d)",
				perVisit, s.drawSQL("session", drawJitter), perVisit, perFrame, s.drawSQL("session", drawJitter), perFrame)},
		},
		{
			{"happened", fmt.Sprintf("begun + quick * prompt + late * work + idle * 900000000 + %s %% 900000", s.drawSQL("thing", drawMoment))},
		},
		{
			// What the server does by itself it does on the second.
			{"at", "if(status IN (6, 7), intDiv(happened, 1000000) * 1000000, happened)"},
			{"received", fmt.Sprintf("happened + 2000 + %s %% 40000", s.drawSQL("thing", drawReceived))},
			{"ingested", fmt.Sprintf("received + 120000 + %s %% 150000", s.drawSQL("thing", drawIngested))},
			{"month", "intDiv(at - from_us, 2629746000000)"},
		},
		s.devices(),
	}
}

// drawSQL is draw in SQL, about a thing of the row.
func (p population) drawSQL(thing string, decision int) string {
	return fmt.Sprintf("intHash64(bitXor(toUInt64(%s * %d + %d), %s))", thing, draws, decision, number(p.mix()))
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(n uint64) string { return "toUInt64(" + strconv.FormatUint(n, 10) + ")" }

func numbers[N ~int | ~uint8](list []N) string {
	all := make([]string, len(list))
	for i, n := range list {
		all[i] = strconv.Itoa(int(n))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func numbers64(list []uint64) string {
	all := make([]string, len(list))
	for i, n := range list {
		all[i] = strconv.FormatUint(n, 10)
	}
	return "[" + strings.Join(all, ",") + "]::Array(UInt64)"
}

// text is a literal.
func text(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func texts(list []string) string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = text(s)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// rankSQL is the rank of a status.
func rankSQL() string {
	ranks := make([]int, 0, 32)
	for s := range event.Status(32) {
		ranks = append(ranks, int(s.Rank()))
	}
	return "toUInt8(" + numbers(ranks) + "[status + 1])"
}
