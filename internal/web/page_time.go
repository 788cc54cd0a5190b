package web

import (
	"fmt"
	"net/url"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// clock shows times in a zone, and tells how long ago they were.
type clock struct {
	now  time.Time
	zone *time.Location
}

// Zone is the name of the zone.
func (c clock) Zone() string { return c.zone.String() }

// zoneOf is the zone that the parameters name, UTC unless they name one. Whether
// the name is right is told by whoever reads the parameters.
func zoneOf(v url.Values) *time.Location {
	name := v.Get("tz")
	if name == "" || name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// moment is a time as a page shows it.
type moment struct {
	// UTC is the exact time, RFC 3339.
	UTC string
	// Date and Time are those of the zone, to the second.
	Date, Time string
	// Exact is the time of day to the microsecond.
	Exact string
	// Offset is that of the zone at the time; "" for UTC.
	Offset string
	// Ago is how long ago it was, in words.
	Ago string
}

func (c clock) at(t query.Timestamp) moment {
	local := t.In(c.zone)
	m := moment{
		UTC: t.String(), Date: local.Format(time.DateOnly), Time: local.Format(time.TimeOnly),
		Exact: local.Format("15:04:05.000000"),
	}
	if c.zone != time.UTC {
		m.Offset = local.Format("-07:00")
	}
	switch d := c.now.Sub(t.Time); {
	case d >= time.Second:
		m.Ago = inWords(d) + " ago"
	case d >= 0:
		m.Ago = "just now"
	}
	return m
}

// maybe is at, or nil where there is no time.
func (c clock) maybe(t *query.Timestamp) *moment {
	if t == nil {
		return nil
	}
	m := c.at(*t)
	return &m
}

// inWords is a duration in its two greatest units, at most.
func inWords(d time.Duration) string {
	const day = 24 * time.Hour
	whole := func(unit time.Duration) int64 { return int64(d / unit) }
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", whole(time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", whole(time.Minute))
	case d < day:
		return fmt.Sprintf("%d h %02d min", whole(time.Hour), whole(time.Minute)%60)
	default:
		return fmt.Sprintf("%d d %d h", whole(day), whole(time.Hour)%24)
	}
}
