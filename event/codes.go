package event

// Entry is how the user came in: 1–8.
type Entry uint8

// Status is what happened: a code of the closed table 1–26; 4 does not exist.
type Status uint8

// Kind is the family of a status and the last token of the event's subject.
type Kind string

// The kinds of the contract.
const (
	KindLogin  Kind = "login"
	KindLogout Kind = "logout"
	KindMFA    Kind = "mfa"
	KindReset  Kind = "reset"
)

// Outcome is how it went.
type Outcome string

// The outcomes of the contract.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	OutcomePending Outcome = "pending"
)

// MFAMethod is a second factor of the contract.
type MFAMethod string

// Attempt tells whether an event counts as a log-in or log-out attempt.
type Attempt string

// The attempts of the contract; AttemptNone is neither.
const (
	AttemptNone   Attempt = ""
	AttemptLogin  Attempt = "login"
	AttemptLogout Attempt = "logout"
)

// SessionEffect is what an event does to its session.
type SessionEffect string

// The effects of the contract; SessionNone leaves the session as it is.
const (
	SessionNone   SessionEffect = ""
	SessionOpens  SessionEffect = "opens"
	SessionCloses SessionEffect = "closes"
)

type statusMeaning struct {
	name    string
	kind    Kind
	attempt Attempt
	outcome Outcome
	session SessionEffect
	rank    uint8
}

var entryNames = [...]string{
	1: "Membership login",
	2: "Report download",
	3: "Batch file upload",
	4: "Recurring billing",
	5: "Inventory upload",
	6: "HTTPS request",
	7: "Mobile Login",
	8: "Reset Password",
}

var statuses = [...]statusMeaning{
	1:  {"Active", KindLogin, AttemptLogin, OutcomeSuccess, SessionOpens, 3},
	2:  {"Completed session", KindLogout, AttemptLogout, OutcomeSuccess, SessionCloses, 4},
	3:  {"Invalid company", KindLogin, AttemptLogin, OutcomeFailure, SessionNone, 2},
	5:  {"Invalid password", KindLogin, AttemptLogin, OutcomeFailure, SessionNone, 2},
	6:  {"Idle timeout", KindLogout, AttemptLogout, OutcomeSuccess, SessionCloses, 4},
	7:  {"Session ended by new login", KindLogout, AttemptLogout, OutcomeSuccess, SessionCloses, 4},
	8:  {"IP conflict", KindLogin, AttemptLogin, OutcomeFailure, SessionCloses, 4},
	9:  {"Invalid user session", KindLogin, AttemptLogin, OutcomeFailure, SessionCloses, 4},
	10: {"User Account Disabled", KindLogin, AttemptLogin, OutcomeFailure, SessionNone, 2},
	11: {"Merchant Account Disabled", KindLogin, AttemptLogin, OutcomeFailure, SessionNone, 2},
	12: {"IP Login Restriction", KindLogin, AttemptLogin, OutcomeFailure, SessionNone, 2},
	13: {"Invalid Company/User", KindLogin, AttemptLogin, OutcomeFailure, SessionNone, 2},
	14: {"Missing email", KindReset, AttemptNone, OutcomeFailure, SessionNone, 0},
	15: {"Reset successful", KindReset, AttemptNone, OutcomeSuccess, SessionNone, 0},
	16: {"MFA Disabled", KindMFA, AttemptNone, OutcomeSuccess, SessionNone, 0},
	17: {"MFA Enabled", KindMFA, AttemptNone, OutcomeSuccess, SessionNone, 0},
	18: {"MFA Enrolled", KindMFA, AttemptNone, OutcomeSuccess, SessionNone, 0},
	19: {"MFA Reset", KindMFA, AttemptNone, OutcomeSuccess, SessionNone, 0},
	20: {"User locked due MFA", KindMFA, AttemptLogin, OutcomeFailure, SessionNone, 2},
	21: {"Login successful MFA", KindMFA, AttemptLogin, OutcomeSuccess, SessionOpens, 3},
	22: {"Login failed MFA", KindMFA, AttemptLogin, OutcomeFailure, SessionNone, 2},
	23: {"Login timeout TOTP", KindMFA, AttemptLogin, OutcomeFailure, SessionNone, 2},
	24: {"Login requested MFA", KindMFA, AttemptLogin, OutcomePending, SessionNone, 1},
	25: {"Valid credential. MFA required", KindMFA, AttemptLogin, OutcomePending, SessionNone, 1},
	26: {"Invalid MFA validation data", KindMFA, AttemptLogin, OutcomeFailure, SessionNone, 2},
}

// Valid reports whether e is in the table.
func (e Entry) Valid() bool { return e >= 1 && int(e) < len(entryNames) }

// Name is the entry's name, or "" outside the table.
func (e Entry) Name() string {
	if !e.Valid() {
		return ""
	}
	return entryNames[e]
}

// Entries lists the table in the order of its codes.
func Entries() []Entry {
	all := make([]Entry, 0, len(entryNames))
	for e := Entry(1); e.Valid(); e++ {
		all = append(all, e)
	}
	return all
}

// meaning is the zero statusMeaning outside the table.
func (s Status) meaning() statusMeaning {
	if int(s) >= len(statuses) {
		return statusMeaning{}
	}
	return statuses[s]
}

// Valid reports whether s is in the table.
func (s Status) Valid() bool { return s.meaning().name != "" }

// Name is the status's name, or "" outside the table.
func (s Status) Name() string { return s.meaning().name }

// Kind is the family of the status: the last token of its subject.
func (s Status) Kind() Kind { return s.meaning().kind }

// Attempt tells whether the status counts as a log-in or log-out attempt.
func (s Status) Attempt() Attempt { return s.meaning().attempt }

// Outcome is how it went.
func (s Status) Outcome() Outcome { return s.meaning().outcome }

// Session is what the status does to its session.
func (s Status) Session() SessionEffect { return s.meaning().session }

// Rank tells which of two events at the same instant comes later: the greater.
func (s Status) Rank() uint8 { return s.meaning().rank }

// AllowsEmptyUsername reports whether an event of this status may have an
// empty username, because nobody was recognised.
func (s Status) AllowsEmptyUsername() bool {
	return s == 3 || s == 9 || s == 13 || s == 14
}

// Statuses lists the table in the order of its codes.
func Statuses() []Status {
	all := make([]Status, 0, len(statuses))
	for s := Status(1); int(s) < len(statuses); s++ {
		if s.Valid() {
			all = append(all, s)
		}
	}
	return all
}

// Kinds lists the kinds of the contract.
func Kinds() []Kind { return []Kind{KindLogin, KindLogout, KindMFA, KindReset} }

// Outcomes lists the outcomes of the contract.
func Outcomes() []Outcome { return []Outcome{OutcomeSuccess, OutcomeFailure, OutcomePending} }

// MFAMethods lists the second factors of the contract.
func MFAMethods() []MFAMethod {
	return []MFAMethod{"totp", "sms", "email", "push", "webauthn", "call", "backup_code", "other"}
}
