package query

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// allowedTime tells a person what parseTime takes.
const allowedTime = "RFC 3339 (2026-11-01T09:30:00Z), a date (2026-11-01), " +
	"a time without offset (2026-11-01T09:30, in tz), now, or back from now (-90s, -30m, -24h, -7d, -2w)"

// edge tells which instant of a span a parameter means: a date spans a day,
// and an hour that the clock repeats comes twice.
type edge int

const (
	// asStart: the first instant of the span; the bound is inclusive.
	asStart edge = iota
	// asEnd: the first instant after the span; the bound is exclusive.
	asEnd
	// asMoment: the last instant of the span; what happened at it counts.
	asMoment
)

// resolution is that of every time in the store.
const resolution = time.Microsecond

// earliestTime and latestTime hold every possible event (contract §2: none is
// before 1990, none is from the future) and are safe in every column type, so
// moving a bound to them changes no answer.
func earliestTime() time.Time { return time.Unix(0, 0).UTC() }
func latestTime() time.Time   { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

// clamp cuts t to microseconds and moves it into what the store can hold.
func clamp(t time.Time) time.Time {
	switch {
	case t.Before(earliestTime()):
		return earliestTime()
	case t.After(latestTime()):
		return latestTime()
	}
	return inUTC(t)
}

// inUTC is t in UTC, without what is finer than the store's resolution.
func inUTC(t time.Time) time.Time { return t.UTC().Truncate(resolution) }

var (
	relativeForm = regexp.MustCompile(`^-([0-9]{1,9})([smhdw])$`)
	dateForm     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	timeForm     = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?$`)
	lostPlus     = regexp.MustCompile(`[Tt ][0-9:.]+ [0-9]{2}:[0-9]{2}$`)
)

var (
	errTimeForm = errors.New("is not a time")
	errTimePlus = errors.New("is not a time; write the + of an offset as %2B")
	errNoTime   = errors.New("is not in the calendar")
)

// clock is what a time in words depends on: the moment that "now" means and
// the zone of what has no offset.
type clock struct {
	now  time.Time
	zone *time.Location
}

// exact reads one time in any form of the contract. The result is in UTC, wherever
// it lies.
func (c clock) exact(s string, e edge) (time.Time, error) {
	if s == "now" {
		return inUTC(c.now), nil
	}
	if m := relativeForm.FindStringSubmatch(s); m != nil {
		return inUTC(c.back(m[1], m[2])), nil
	}
	if dateForm.MatchString(s) {
		return c.date(s, e)
	}
	if m := timeForm.FindStringSubmatch(s); m != nil {
		return c.timeOfDay(m, e)
	}
	if lostPlus.MatchString(s) {
		return time.Time{}, errTimePlus
	}
	return time.Time{}, errTimeForm
}

// isRelative tells a time that depends on now.
func isRelative(s string) bool { return s == "now" || relativeForm.MatchString(s) }

// back is the moment n units before now. Days and weeks are those of the
// calendar: the same time of day, also where a day has 23 or 25 hours.
func (c clock) back(number, unit string) time.Time {
	n, _ := strconv.ParseInt(number, 10, 64) // relativeForm lets only 9 digits through
	if n == 0 {
		return c.now
	}
	switch unit {
	case "w":
		return c.daysBack(7 * n)
	case "d":
		return c.daysBack(n)
	case "h":
		n *= 3600
	case "m":
		n *= 60
	}
	// In seconds: a time.Duration holds 292 years only.
	return time.Unix(c.now.Unix()-n, int64(c.now.Nanosecond()))
}

func (c clock) daysBack(n int64) time.Time {
	now := c.now.In(c.zone)
	y, m, d := now.Date()
	wall := time.Date(y, m, d-int(n), now.Hour(), now.Minute(), now.Second(), now.Nanosecond(), time.UTC)
	return instant(wall, c.zone, false)
}

// date reads a date as the whole of that day.
func (c clock) date(s string, e edge) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, errNoTime
	}
	next := instant(day.AddDate(0, 0, 1), c.zone, false)
	switch e {
	case asEnd:
		return inUTC(next), nil
	case asMoment:
		return inUTC(next.Add(-resolution)), nil
	default:
		return inUTC(instant(day, c.zone, false)), nil
	}
}

// timeOfDay reads the parts of timeForm.
func (c clock) timeOfDay(m []string, e edge) (time.Time, error) {
	day, minute, second, offset := m[1], m[2], m[3], strings.ToUpper(m[4])
	if second == "" {
		second = ":00"
	}
	local := offset == ""
	if local {
		offset = "Z"
	}
	t, err := time.Parse(time.RFC3339Nano, day+"T"+minute+second+offset)
	if err != nil {
		return time.Time{}, errNoTime
	}
	if local {
		t = instant(t, c.zone, e != asStart)
	}
	return inUTC(t), nil
}

// instant is the moment at which clocks in zone show wall (whose own zone is
// UTC). Where the clock was set back and shows it twice, last picks the second
// moment; where it was set forward and never shows it, it is the moment of
// the change, which is what "before" and "after" wall then mean.
func instant(wall time.Time, zone *time.Location, last bool) time.Time {
	_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
	_, after := wall.Add(24 * time.Hour).In(zone).Zone()
	first := wall.Add(-time.Duration(before) * time.Second)
	second := wall.Add(-time.Duration(after) * time.Second)
	firstShows, secondShows := shows(first, zone, wall), shows(second, zone, wall)
	switch {
	case firstShows && (!last || !secondShows):
		return first
	case secondShows:
		return second
	default: // first lies after the change, by less than the gap
		change, _ := first.In(zone).ZoneBounds()
		return change
	}
}

// shows reports whether clocks in zone show wall at t.
func shows(t time.Time, zone *time.Location, wall time.Time) bool {
	_, offset := t.In(zone).Zone()
	return t.Add(time.Duration(offset) * time.Second).Equal(wall)
}
