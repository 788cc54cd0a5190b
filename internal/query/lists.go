package query

import "github.com/loginaudit/loginaudit/event"

// The closed lists that parameters are read against.

func statuses(in *input) []event.Status  { return many(in, "status", event.Statuses()) }
func entries(in *input) []event.Entry    { return many(in, "entry", event.Entries()) }
func kinds(in *input) []event.Kind       { return many(in, "kind", event.Kinds()) }
func outcomes(in *input) []event.Outcome { return many(in, "outcome", event.Outcomes()) }

func orders() []Order { return []Order{Descending, Ascending} }

func userSorts() []string {
	var all []string
	for _, s := range []UserSort{SortUsername, SortLastLogin, SortLastLogout} {
		all = append(all, string(s), "-"+string(s))
	}
	return all
}
