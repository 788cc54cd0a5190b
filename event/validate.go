package event

import (
	"unicode/utf8"
)

// Validate reports whether [Encode] takes the event: nil, or an [*Error] that
// names the field and what is allowed.
func (e Event) Validate() error {
	_, err := Encode(e)
	return err
}

// check tests the rules of the contract on the fields' values, in the order of
// its table. It leaves Unknown and the size of the message to the caller.
func (e *Event) check() *Error {
	if err := e.checkRequired(); err != nil {
		return err
	}
	if e.IP.Zone() != "" {
		return badAddress()
	}
	for _, t := range [...]struct {
		field field
		text  string
		limit int
	}{
		{fieldSessionID, e.SessionID, MaxSessionID},
		{fieldUserAgent, e.UserAgent, MaxUserAgent},
		{fieldService, e.Service, MaxService},
		{fieldDeviceID, e.DeviceID, MaxDeviceID},
		{fieldRequestID, e.RequestID, MaxRequestID},
		{fieldReason, e.Reason, MaxReason},
	} {
		if err := checkText(t.field, t.text, t.limit); err != nil {
			return err
		}
	}
	if !e.MFAMethod.valid() {
		return fail(ReasonBadMFAMethod, fieldMFAMethod, "is %s; %s", excerpt(string(e.MFAMethod)), ReasonBadMFAMethod.Rule())
	}
	return e.checkAttributes()
}

func (e *Event) checkRequired() *Error {
	if err := checkName(fieldID, e.ID, MaxID, "printable ASCII without space is"); err != nil {
		return err
	}
	if err := checkName(fieldAccount, e.Account, MaxAccount, "A-Z, a-z, 0-9, _ and - are"); err != nil {
		return err
	}
	if err := checkText(fieldUsername, e.Username, MaxUsername); err != nil {
		return err
	}
	if err := e.checkTime(); err != nil {
		return err
	}
	switch {
	case !e.Entry.Valid():
		return fail(ReasonUnknownEntry, fieldEntry, "is %d; %s", e.Entry, ReasonUnknownEntry.Rule())
	case !e.Status.Valid():
		return fail(ReasonUnknownStatus, fieldStatus, "is %d; %s", e.Status, ReasonUnknownStatus.Rule())
	case e.Username == "" && !e.Status.AllowsEmptyUsername():
		return fail(ReasonEmptyUsername, fieldUsername, "is empty with status %d; %s", e.Status, ReasonEmptyUsername.Rule())
	}
	return nil
}

func (e *Event) checkTime() *Error {
	switch at := e.OccurredAt.UTC(); {
	case at.Before(Earliest()):
		return fail(ReasonTooEarly, fieldOccurredAt, "is before 1990; only times from 1990-01-01T00:00:00Z are allowed")
	case at.Year() > 9999:
		return fail(ReasonBadTime, fieldOccurredAt, "is after the year 9999 in UTC; RFC 3339 allows four digits of the year")
	}
	return nil
}

// checkName tests a name made of the ASCII characters of a set, which the
// allowed words describe.
func checkName(f field, s string, limit int, allowed string) *Error {
	if s == "" {
		return fail(ReasonTooShort, f, "is empty; 1 to %d characters are allowed", limit)
	}
	if err := checkText(f, s, limit); err != nil {
		return err
	}
	in := isIDCharacter
	if f == fieldAccount {
		in = isAccountCharacter
	}
	for i := range len(s) {
		if !in(s[i]) {
			return fail(ReasonBadCharacters, f, "has another character at byte %d; only %s allowed", i, allowed)
		}
	}
	return nil
}

func isIDCharacter(c byte) bool { return c > ' ' && c < 0x7F }

func isAccountCharacter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c == '-'
}

func checkText(f field, s string, limit int) *Error {
	if len(s) > limit {
		return fail(ReasonTooLong, f, "has %d bytes of UTF-8; at most %d are allowed", len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fail(ReasonInvalidUTF8, f, "is not valid UTF-8; only UTF-8 is allowed")
	}
	return nil
}

func (m MFAMethod) valid() bool {
	switch m {
	case "", "totp", "sms", "email", "push", "webauthn", "call", "backup_code", "other":
		return true
	}
	return false
}

func checkPairs(n int) *Error {
	if n > MaxAttributes {
		return fail(ReasonTooManyAttributes, fieldAttributes, "has %d pairs; at most %d are allowed", n, MaxAttributes)
	}
	return nil
}

// checkAttributes reports, of several wrong pairs, the one with the smallest
// key, so that the same attributes always give the same error.
func (e *Event) checkAttributes() *Error {
	if err := checkPairs(len(e.Attributes)); err != nil {
		return err
	}
	var worst string
	var first *Error
	for key, value := range e.Attributes {
		if err := checkPair(key, value); err != nil && (first == nil || key < worst) {
			worst, first = key, err
		}
	}
	return first
}

func checkPair(key, value string) *Error {
	switch {
	case len(key) > MaxAttributeKey:
		return fail(ReasonTooLong, fieldAttributes,
			"has the key %s of %d bytes of UTF-8; at most %d are allowed", excerpt(key), len(key), MaxAttributeKey)
	case len(value) > MaxAttributeValue:
		return fail(ReasonTooLong, fieldAttributes,
			"has %d bytes of UTF-8 as the value of %s; at most %d are allowed", len(value), excerpt(key), MaxAttributeValue)
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return fail(ReasonInvalidUTF8, fieldAttributes,
			"is not valid UTF-8 in the pair %s; only UTF-8 is allowed", excerpt(key))
	}
	return nil
}
