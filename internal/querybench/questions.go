package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// question is one line of the table: a path by chance, and what it aims for.
type question struct {
	name string
	// target is the p99 that is aimed for; 0: none.
	target time.Duration
	// path draws what is asked; "" where the set has nothing to ask about.
	path func(*asker) string
	// want is the status of the answer; 0: 200.
	want int
	// prepare, unless nil, runs once before, and gives the page that path asks for.
	prepare func(context.Context, *asker) (page int, err error)
}

// The aims of the issue.
const (
	aimUser    = 15 * time.Millisecond
	aimPage    = 30 * time.Millisecond
	aimAccount = 150 * time.Millisecond
)

const (
	dayLong   = 24 * time.Hour
	monthLong = 30 * dayLong
	yearLong  = 365 * dayLong
)

// questions are all that is asked, in order.
func questions() []question {
	all := userQuestions()
	all = append(all, usersQuestions("1,000 users", midAccount, aimPage)...)
	all = append(all, usersQuestions("300,000 users", hugeAccount, aimAccount)...)
	all = append(all, historyQuestions()...)
	all = append(all, accountQuestions()...)
	all = append(all, countQuestions()...)
	return append(all, momentQuestions()...)
}

func userQuestions() []question {
	return []question{
		{name: "user: latest activity", target: aimUser, path: func(a *asker) string { return a.user(a.anyone()) }},
		{name: "user: latest activity, the busiest user", target: aimUser, path: func(a *asker) string { return a.user(0) }},
		{name: "user: latest activity, a user with one event", target: aimUser, path: func(a *asker) string { return a.user(a.oncer()) }},
		{name: "user: who does not exist", target: aimUser, path: (*asker).nobody, want: http.StatusNotFound},
		{name: "user: as of a moment in the past", path: func(a *asker) string {
			return a.user(a.anyone()) + "?as_of=" + stamp(a.moment(yearLong, 0))
		}, want: anyStatus},
	}
}

// anyStatus lets an answer be 200 or 404: of what is drawn some do not exist yet.
const anyStatus = -1

// usersQuestions are those about the page of an account's users.
func usersQuestions(of string, account int, aim time.Duration) []question {
	var all []question
	add := func(name string, target time.Duration, parameters func(*asker) string) {
		all = append(all, question{name: "users of " + of + ": " + name, target: target, path: func(a *asker) string {
			return a.account(accountName(account)) + "/users?" + parameters(a)
		}})
	}
	for _, sort := range []string{"username", "-username", "last_login", "-last_login", "last_logout", "-last_logout"} {
		add("sort="+sort, aim, func(*asker) string { return "sort=" + sort })
	}
	for _, filter := range []string{"status=2", "status=5&status=22", "entry=7", "logged_in=true", "logged_in=false", "never_logged_in=true", "q=quispe", "q=no-such-name"} {
		add(filter, aim, func(*asker) string { return filter })
	}
	add("dormant, last_login_before", aim, func(a *asker) string {
		return "sort=last_login&last_login_before=" + stamp(a.moment(yearLong, dayLong))
	})
	add("last_login_after and status", aim, func(a *asker) string {
		return "sort=-last_login&status=2&last_login_after=" + stamp(a.moment(yearLong, dayLong))
	})
	add("as_of a moment in the past", 0, func(a *asker) string { return "as_of=" + stamp(a.moment(yearLong, 0)) })
	path := "/users?sort=-last_login"
	all = append(all, question{name: "users of " + of + ": sort=-last_login, far behind", target: aim,
		prepare: func(ctx context.Context, a *asker) (int, error) {
			return a.walk(ctx, a.account(accountName(account))+path, int(min(1000, a.size(account)/5)))
		},
		path: func(a *asker) string { return a.far(a.account(accountName(account)) + path) },
	})
	return all
}

// far is one of the deep cursors of a path, "" where there is none.
func (a *asker) far(path string) string {
	if len(a.deep[path]) == 0 {
		return ""
	}
	return a.deep[path][a.rng.IntN(len(a.deep[path]))]
}

// historyQuestions are those about one user's history, and about one event.
func historyQuestions() []question {
	var all []question
	for _, list := range []string{"events", "attempts"} {
		add := func(name string, want int, path func(*asker) string) {
			all = append(all, question{name: list + " of a user: " + name, target: aimPage, want: want,
				path: func(a *asker) string { return path(a) + "/" + list }})
		}
		add("first page", 0, func(a *asker) string { return a.user(a.anyone()) })
		add("first page, the busiest user", 0, func(a *asker) string { return a.user(0) })
		add("a user with one event", 0, func(a *asker) string { return a.user(a.oncer()) })
		add("a user without events", http.StatusNotFound, (*asker).nobody)
		all = append(all, question{name: list + " of a user: page 1,000, the busiest user", target: aimPage,
			prepare: func(ctx context.Context, a *asker) (int, error) {
				return a.walk(ctx, a.user(0)+"/"+list, 1000)
			},
			path: func(a *asker) string { return a.far(a.user(0) + "/" + list) },
		})
		filter := "&status=5"
		if list == "attempts" {
			filter = "&outcome=failure"
		}
		all = append(all, question{name: list + " of a user: a year's failures, the busiest user", target: aimPage,
			path: func(a *asker) string { return a.user(0) + "/" + list + "?" + a.stretch(yearLong) + filter }})
	}
	return append(all,
		question{name: "event: details with neighbours", target: aimPage, path: func(a *asker) string {
			e := a.some[a.rng.IntN(len(a.some))]
			return a.account(e.Account) + "/events/" + url.PathEscape(e.ID)
		}},
		question{name: "event: that does not exist", target: aimPage, want: http.StatusNotFound, path: func(a *asker) string {
			return a.account(accountName(hugeAccount)) + fmt.Sprintf("/events/none-%d", a.rng.Uint64())
		}})
}

// accountQuestions are those about the history of the largest account.
func accountQuestions() []question {
	var all []question
	huge := func(a *asker) sample { return a.huge[a.rng.IntN(len(a.huge))] }
	add := func(name string, filter func(*asker) string) {
		all = append(all, question{name: "a year of an account: " + name, target: aimAccount, path: func(a *asker) string {
			return a.account(accountName(hugeAccount)) + "/events?" + strings.TrimSuffix(a.stretch(yearLong)+"&"+filter(a), "&")
		}})
	}
	fixed := func(filter string) { add(filter, func(*asker) string { return filter }) }
	add("no filter", func(*asker) string { return "" })
	fixed("order=asc")
	for _, dense := range []string{"outcome=failure", "status=2", "kind=logout&entry=7", "mfa_method=sms", "service=mobile-login"} {
		fixed(dense)
	}
	fixed("status=16")
	fixed("status=8&service=batch-upload")
	fixed("ip=203.0.113.16/28")
	fixed("q=safari")
	fixed("q=no-such-text")
	add("q=, a name", func(a *asker) string { return "q=" + url.QueryEscape(huge(a).Username) })
	add("ip=, of a user", func(a *asker) string {
		for range 100 {
			if e := huge(a); e.IP != nil && strings.Contains(*e.IP, ":") {
				return "ip=" + url.QueryEscape(*e.IP)
			}
		}
		return "ip=192.0.2.1"
	})
	add("ip=, that nobody has", func(*asker) string { return "ip=192.0.2.1" })
	add("session_id=", func(a *asker) string {
		e := huge(a)
		if e.SessionID == nil {
			return "session_id=s-none"
		}
		return "session_id=" + url.QueryEscape(*e.SessionID)
	})
	return append(all, question{name: "a year of an account of 1,000 users: status=16", target: aimAccount, path: func(a *asker) string {
		return a.account(accountName(midAccount)) + "/events?status=16&" + a.stretch(yearLong)
	}})
}

// countQuestions are histograms and facets.
func countQuestions() []question {
	var all []question
	for _, of := range []struct {
		name    string
		account int
	}{{"1,000 users", midAccount}, {"300,000 users", hugeAccount}} {
		for _, path := range []string{"/histogram?", "/facets?", "/histogram?outcome=failure&", "/facets?outcome=failure&"} {
			all = append(all, question{name: "30 days of " + of.name + ": " + strings.Trim(path, "/?&"), target: aimAccount, path: func(a *asker) string {
				return a.account(accountName(of.account)) + path + a.stretch(monthLong)
			}})
		}
	}
	return all
}

// momentQuestions are those about who was logged in.
func momentQuestions() []question {
	var all []question
	for _, of := range []struct {
		name    string
		account int
		aim     time.Duration
	}{{"1,000 users", midAccount, aimAccount}, {"300,000 users", hugeAccount, 0}} {
		add := func(name string, target time.Duration, path func(*asker) string) {
			all = append(all, question{name: "who was logged in of " + of.name + ": " + name, target: target,
				path: func(a *asker) string { return a.account(accountName(of.account)) + path(a) }})
		}
		add("/users?logged_in&as_of", of.aim, func(a *asker) string { return "/users?logged_in=true&as_of=" + stamp(a.moment(yearLong, 0)) })
		add("/sessions?at", of.aim, func(a *asker) string { return "/sessions?at=" + stamp(a.moment(yearLong, 0)) })
		add("/sessions?state=open", of.aim, func(*asker) string { return "/sessions?state=open" })
		add("/sessions, a month", 0, func(a *asker) string { return "/sessions?" + a.stretch(monthLong) })
	}
	return append(all, question{name: "status of the pipeline", path: func(*asker) string { return "/api/v1/status" }})
}
