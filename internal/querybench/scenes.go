package main

import "github.com/loginaudit/loginaudit/event"

// step is an event of a session.
type step struct {
	status event.Status
	quick  int  // how many prompts came before it
	late   int  // 1: after the work that the session was for
	idle   int  // how many times 15 minutes of waiting came before it
	once   bool // the session's status is drawn from rareStatuses
	job    bool // the session may be a machine's
}

// frame is what a stretch of time holds: 33 sessions of 115 events, with the
// shares of what "loginaudit emit" makes up, oldest first. The set repeats it, each
// session with another user, moment, device and so on.
func frame() [][]step {
	second := []step{{status: 25}, {status: 24, quick: 1}, {status: 21, quick: 2}}
	mfa := func(more ...step) []step { return append(second[:3:3], more...) }
	logout, idle := step{status: 2, late: 1}, step{status: 6, late: 1, idle: 1}
	replaced := step{status: 7, late: 1, quick: 5}
	job := []step{{status: 1, job: true}, {status: 2, late: 1, job: true}}
	wrong := func(n int, more ...step) []step { // n wrong passwords first
		var all []step
		for i := range n {
			all = append(all, step{status: 5, quick: i})
		}
		for _, s := range more {
			s.quick += n
			all = append(all, s)
		}
		return all
	}
	return [][]step{
		mfa(logout), mfa(idle), job, mfa(logout), mfa(replaced), mfa(logout),
		{{status: 1}, idle}, mfa(logout), mfa(logout), mfa(), job, mfa(logout),
		wrong(1, mfa(logout)...), mfa(idle), {{status: 25}, {status: 24, quick: 1}, {status: 22, quick: 2}, {status: 24, quick: 3}, {status: 21, quick: 4}, logout},
		job, mfa(logout), mfa(replaced), {{once: true}}, mfa(logout), mfa(idle),
		wrong(3, step{status: 15, quick: 5}), mfa(logout), {{status: 1}, idle}, mfa(), job, mfa(logout),
		mfa(step{status: 6, late: 1, idle: 1}, step{status: 9, late: 1, idle: 2}), mfa(logout),
		wrong(1, step{status: 1}, logout), mfa(replaced), {{status: 1}}, mfa(idle),
	}
}

// rareStatuses are those of sessions of one event.
var rareStatuses = [...]event.Status{10, 10, 12, 12, 22, 23, 26, 13, 8, 11, 14, 16, 17, 18, 19, 20} //nolint:gochecknoglobals // a constant list

// firstStatuses are those of a user's first visit, which is one event.
var firstStatuses = [...]event.Status{1, 1, 1, 1, 1, 5, 5, 21, 21, 18, 13, 25} //nolint:gochecknoglobals // a constant list

// reasons are what an auth service says with a status.
func reasons() map[event.Status]string {
	return map[event.Status]string{
		6:  "no activity for 15 minutes",
		8:  "session was used from two addresses",
		9:  "session has ended",
		10: "user was disabled by an administrator",
		11: "account is suspended: invoice overdue",
		12: "address is not on the account's list",
		14: "no address to send the link to",
		16: "by the account's administrator",
		17: "by the account's administrator",
		19: "by the account's administrator",
		20: "three wrong codes",
		22: "wrong code",
		23: "no code within 2 minutes",
		26: "code has letters in it",
	}
}

// steps are the steps of a frame in order, each with the number of its session.
type steps struct {
	sessions int
	session  []int
	step     []step
}

func allSteps() steps {
	var all steps
	for i, session := range frame() {
		for _, s := range session {
			all.session = append(all.session, i)
			all.step = append(all.step, s)
		}
	}
	all.sessions = len(frame())
	return all
}
