package query

import (
	"testing"
	"time"
	_ "time/tzdata" // the tests need the zones on every machine

	"pgregory.net/rapid"
)

// noon is the now of the tests, in the middle of Europe's winter time.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

func zone(t rapid.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestTimesAreReadInEveryFormOfTheContract(t *testing.T) {
	for _, c := range []struct {
		name, in, zone string
		e              edge
		want           string
	}{
		{"UTC", "2026-11-01T09:30:15Z", "UTC", asStart, "2026-11-01T09:30:15.000000Z"},
		{"offset", "2026-11-01T09:30:15+02:00", "UTC", asStart, "2026-11-01T07:30:15.000000Z"},
		{"offset wins over tz", "2026-11-01T09:30:15-05:00", "Europe/Berlin", asStart, "2026-11-01T14:30:15.000000Z"},
		{"small letters", "2026-11-01t09:30:15z", "UTC", asStart, "2026-11-01T09:30:15.000000Z"},
		{"space for T", "2026-11-01 09:30:15Z", "UTC", asStart, "2026-11-01T09:30:15.000000Z"},
		{"fraction", "2026-11-01T09:30:15.25Z", "UTC", asStart, "2026-11-01T09:30:15.250000Z"},
		{"more than six digits are cut", "2026-11-01T09:30:15.1234569Z", "UTC", asEnd, "2026-11-01T09:30:15.123456Z"},
		{"no seconds", "2026-11-01T09:30Z", "UTC", asStart, "2026-11-01T09:30:00.000000Z"},
		{"no offset is in tz", "2026-11-01T09:30", "America/New_York", asStart, "2026-11-01T14:30:00.000000Z"},
		{"no offset with seconds", "2026-07-01T09:30:15.5", "Europe/Berlin", asEnd, "2026-07-01T07:30:15.500000Z"},
		{"date as start", "2026-11-01", "UTC", asStart, "2026-11-01T00:00:00.000000Z"},
		{"date as end is the whole day", "2026-11-01", "UTC", asEnd, "2026-11-02T00:00:00.000000Z"},
		{"date as moment is the whole day", "2026-11-01", "UTC", asMoment, "2026-11-01T23:59:59.999999Z"},
		{"date is in tz", "2026-11-02", "Asia/Tokyo", asStart, "2026-11-01T15:00:00.000000Z"},
		{"leap day", "2024-02-29", "UTC", asEnd, "2024-03-01T00:00:00.000000Z"},
		{"now", "now", "UTC", asStart, "2026-11-23T12:00:00.123456Z"},
		{"seconds back", "-90s", "UTC", asStart, "2026-11-23T11:58:30.123456Z"},
		{"minutes back", "-30m", "UTC", asStart, "2026-11-23T11:30:00.123456Z"},
		{"hours back", "-24h", "UTC", asStart, "2026-11-22T12:00:00.123456Z"},
		{"days back", "-7d", "UTC", asStart, "2026-11-16T12:00:00.123456Z"},
		{"weeks back", "-2w", "UTC", asStart, "2026-11-09T12:00:00.123456Z"},
		{"nothing back", "-0d", "Europe/Berlin", asStart, "2026-11-23T12:00:00.123456Z"},
		{"days back keep the time of day over a change", "-30d", "Europe/Berlin", asStart, "2026-10-24T11:00:00.123456Z"},
		{"hours back do not", "-720h", "Europe/Berlin", asStart, "2026-10-24T12:00:00.123456Z"},
		{"far past is moved to what can be stored", "0001-01-01T00:00:00Z", "UTC", asStart, "1970-01-01T00:00:00.000000Z"},
		{"farther back", "-999999999w", "UTC", asStart, "1970-01-01T00:00:00.000000Z"},
		{"farther back in hours", "-999999999h", "UTC", asStart, "1970-01-01T00:00:00.000000Z"},
		{"far future too", "9999-12-31", "UTC", asEnd, "2200-01-01T00:00:00.000000Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := clock{noon, zone(t, c.zone)}.parse(c.in, c.e)
			if err != nil {
				t.Fatal(err)
			}
			if At(got).String() != c.want {
				t.Errorf("%s is %s, want %s", c.in, At(got), c.want)
			}
		})
	}
}

func TestTimesThatAreNoneAreRefused(t *testing.T) {
	for _, in := range []string{
		"", " ", "yesterday", "Now", "2026", "2026-11", "2026-13-01", "2026-02-29", "2026-11-31", "26-11-01",
		"2026-11-01T", "2026-11-01T9:30", "2026-11-01T24:00", "2026-11-01T09:60", "2026-11-01T23:59:60Z",
		"2026-11-01T09:30:15,5Z", "2026-11-01T09:30:15.Z", "2026-11-01T09:30+2", "2026-11-01T09:30+25:00",
		"2026-11-01Z", "1793000000", "24h", "+24h", "-24", "-h", "-1.5h", "-1y", "-1M", "--1h", "-1h30m",
		"-9999999999s", "now-1h", "2026-11-01T09:30:15Z\n", "２０２６-11-01", "2026-11-01T09:30:15\x00Z",
	} {
		t.Run(in, func(t *testing.T) {
			if got, err := (clock{noon, time.UTC}).parse(in, asStart); err == nil {
				t.Errorf("%q is %s, want an error", in, got)
			}
		})
	}
}

func TestTimesWithALostPlusSaySo(t *testing.T) {
	_, err := clock{noon, time.UTC}.parse("2026-11-01T09:30:15 02:00", asStart)
	if err != errTimePlus { //nolint:errorlint // the very sentence
		t.Errorf("the error is %v", err)
	}
}

func TestTimesWhereTheClockIsChanged(t *testing.T) {
	for _, c := range []struct {
		name, in, zone string
		e              edge
		want           string
	}{
		{"hour that comes twice, first", "2026-10-25T02:30", "Europe/Berlin", asStart, "2026-10-25T00:30:00.000000Z"},
		{"hour that comes twice, last", "2026-10-25T02:30", "Europe/Berlin", asEnd, "2026-10-25T01:30:00.000000Z"},
		{"hour that comes twice, as of", "2026-10-25T02:30", "Europe/Berlin", asMoment, "2026-10-25T01:30:00.000000Z"},
		{"before it", "2026-10-25T01:59", "Europe/Berlin", asEnd, "2026-10-24T23:59:00.000000Z"},
		{"after it", "2026-10-25T03:00", "Europe/Berlin", asStart, "2026-10-25T02:00:00.000000Z"},
		{"hour that never comes is the change", "2026-03-29T02:30", "Europe/Berlin", asStart, "2026-03-29T01:00:00.000000Z"},
		{"as end too", "2026-03-29T02:30", "Europe/Berlin", asEnd, "2026-03-29T01:00:00.000000Z"},
		{"midnight that never comes", "2018-11-04", "America/Sao_Paulo", asStart, "2018-11-04T03:00:00.000000Z"},
		{"the day before it", "2018-11-03", "America/Sao_Paulo", asEnd, "2018-11-04T03:00:00.000000Z"},
		{"midnight that comes twice", "2026-11-01", "America/Havana", asStart, "2026-11-01T04:00:00.000000Z"},
		{"half an hour", "2026-04-05T01:45", "Australia/Lord_Howe", asEnd, "2026-04-04T15:15:00.000000Z"},
		{"day that never came starts at the change", "2011-12-30", "Pacific/Apia", asStart, "2011-12-30T10:00:00.000000Z"},
		{"and ends there", "2011-12-30", "Pacific/Apia", asEnd, "2011-12-30T10:00:00.000000Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := clock{noon, zone(t, c.zone)}.parse(c.in, c.e)
			if err != nil {
				t.Fatal(err)
			}
			if At(got).String() != c.want {
				t.Errorf("%s is %s, want %s", c.in, At(got), c.want)
			}
		})
	}
}

func TestDaysHave23Or25HoursWhereTheClockIsChanged(t *testing.T) {
	c := clock{noon, zone(t, "Europe/Berlin")}
	for day, hours := range map[string]float64{"2026-03-29": 23, "2026-10-25": 25, "2026-07-01": 24} {
		start, _ := c.parse(day, asStart)
		end, _ := c.parse(day, asEnd)
		if got := end.Sub(start).Hours(); got != hours {
			t.Errorf("%s has %v hours, want %v", day, got, hours)
		}
	}
}

// zones change their clocks in every way there is, never back over midnight.
func zones() []string {
	return []string{
		"UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "America/Havana",
		"America/Nuuk", "America/Santiago", "Atlantic/Azores", "Africa/Cairo", "Africa/Casablanca", "Asia/Beirut",
		"Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham",
	}
}

func drawDay(t *rapid.T) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 40*365).Draw(t, "day"))
}

func TestDaysTileTimeInEveryZone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones()).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		c := clock{noon, loc}
		day := drawDay(t)
		start, _ := c.parse(day.Format(time.DateOnly), asStart)
		end, _ := c.parse(day.Format(time.DateOnly), asEnd)
		next, _ := c.parse(day.AddDate(0, 0, 1).Format(time.DateOnly), asStart)
		last, _ := c.parse(day.Format(time.DateOnly), asMoment)
		if !end.Equal(next) || !last.Add(time.Microsecond).Equal(end) || end.Before(start) {
			t.Fatalf("the day is %s to %s, the next starts at %s", start, end, next)
		}
		if end.Equal(start) {
			return // Apia went to bed on the 29th and rose on the 31st
		}
		inside := start.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(start))-1).Draw(t, "inside")))
		for _, at := range []time.Time{start, inside, end.Add(-1)} {
			if got := at.In(loc).Format(time.DateOnly); got != day.Format(time.DateOnly) {
				t.Fatalf("%s is on %s, but in the range of %s", at, got, day)
			}
		}
	})
}

func TestLocalTimesAreThoseThatClocksShow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones()).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		wall := drawDay(t).Add(time.Duration(rapid.Int64Range(0, 24*60-1).Draw(t, "minute")) * time.Minute)
		first, last := instant(wall, loc, false), instant(wall, loc, true)
		// Every moment at which a clock could show wall, the plain way.
		var shown []time.Time
		for at := wall.Add(-26 * time.Hour); at.Before(wall.Add(26 * time.Hour)); at = at.Add(time.Minute) {
			if shows(at, loc, wall) {
				shown = append(shown, at)
			}
		}
		if len(shown) == 0 {
			_, before := first.Add(-1).In(loc).Zone()
			_, after := first.In(loc).Zone()
			if !first.Equal(last) || before >= after ||
				!first.Add(-1).Add(time.Duration(before)*time.Second).Before(wall) || first.Add(time.Duration(after)*time.Second).Before(wall) {
				t.Fatalf("%s never comes in %s, but is %s", wall, loc, first)
			}
			return
		}
		if !first.Equal(shown[0]) || !last.Equal(shown[len(shown)-1]) {
			t.Fatalf("%s in %s is %s and %s, want %s", wall, loc, first, last, shown)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"now", "-24h", "-7d", "2026-11-01", "2026-11-01T09:30:15.123456+02:00", "2026-10-25T02:30", "0000-01-01"} {
		f.Add(s, "Europe/Berlin")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		loc, err := time.LoadLocation(name)
		if err != nil {
			loc = time.UTC
		}
		for _, e := range []edge{asStart, asEnd, asMoment} {
			got, err := clock{noon, loc}.parse(s, e)
			if err != nil {
				continue
			}
			if !clamp(got).Equal(got) || got.Location() != time.UTC {
				t.Fatalf("%q is %s, which the store cannot hold", s, got)
			}
			again, err := clock{noon, loc}.parse(At(got).String(), e)
			if err != nil || !again.Equal(got) {
				t.Fatalf("%q is %s, which reads as %s, %v", s, got, again, err)
			}
		}
	})
}

// parse reads a time as the parameters do that go to the store.
func (c clock) parse(s string, e edge) (time.Time, error) {
	t, err := c.exact(s, e)
	if err != nil {
		return time.Time{}, err
	}
	return clamp(t), nil
}
