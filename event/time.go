package event

import "time"

// timeLayout is the canonical form of occurred_at.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// parseTime reads RFC 3339 §5.6 strictly: time.Parse takes more than that (a
// comma, an hour of one digit). Digits beyond the microsecond are cut.
func parseTime(s string) (time.Time, *Error) {
	c := clock{rest: s}
	year, month, day := c.digits(4, '-'), c.digits(2, '-'), c.digits(2, 'T')
	hour, minute, second := c.digits(2, ':'), c.digits(2, ':'), c.digits(2, 0)
	micro := c.fraction()
	offset := c.offset()
	if c.bad || c.rest != "" || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, fail(ReasonBadTime, fieldOccurredAt,
			"is %s; only an RFC 3339 time with offset is allowed, like 2026-11-01T08:30:00.123456Z", excerpt(s))
	}
	if second == 60 {
		return time.Time{}, fail(ReasonLeapSecond, fieldOccurredAt,
			"is %s, a leap second; only seconds 00 to 59 are allowed", excerpt(s))
	}
	at := time.Date(year, time.Month(month), day, hour, minute-offset, second, micro*1000, time.UTC)
	return at, nil
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// clock takes a time apart from the left; bad tells that it met what it did
// not expect.
type clock struct {
	rest string
	bad  bool
}

// digits reads a number of n digits and the separator after it; 0 is none.
// 'T' may be lower-case (RFC 3339 §5.6).
func (c *clock) digits(n int, separator byte) int {
	if len(c.rest) < n {
		c.bad = true
		return 0
	}
	value := 0
	for i := range n {
		c.bad = c.bad || !isDigit(c.rest[i])
		value = value*10 + int(c.rest[i]-'0')
	}
	c.rest = c.rest[n:]
	if separator != 0 {
		c.bad = c.bad || c.rest == "" || c.rest[0] != separator && (separator != 'T' || c.rest[0] != 't')
		c.rest = c.rest[min(1, len(c.rest)):]
	}
	return value
}

// fraction reads an optional fraction of a second, in microseconds.
func (c *clock) fraction() int {
	if c.rest == "" || c.rest[0] != '.' {
		return 0
	}
	micro, n := 0, 0
	for c.rest = c.rest[1:]; c.rest != "" && isDigit(c.rest[0]); c.rest = c.rest[1:] {
		if n < 6 {
			micro = micro*10 + int(c.rest[0]-'0')
		}
		n++
	}
	c.bad = c.bad || n == 0
	for ; n < 6; n++ {
		micro *= 10
	}
	return micro
}

// offset reads the offset from UTC, in minutes.
func (c *clock) offset() int {
	if c.rest == "" {
		c.bad = true
		return 0
	}
	sign := c.rest[0]
	c.rest = c.rest[1:]
	if sign == 'Z' || sign == 'z' {
		return 0
	}
	hours, minutes := c.digits(2, ':'), c.digits(2, 0)
	c.bad = c.bad || hours > 23 || minutes > 59
	switch sign {
	case '+':
		return hours*60 + minutes
	case '-':
		return -hours*60 - minutes
	}
	c.bad = true
	return 0
}
