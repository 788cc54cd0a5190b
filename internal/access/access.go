// Package access decides who may see what. It turns the credentials of a
// request into a [Viewer] and says what that viewer may see; everything that
// is not granted is denied, and the zero Viewer may see nothing.
//
// All of it is safe for concurrent use.
package access

import "slices"

// Right is one thing that a viewer may do with an account's data.
type Right string

// The rights.
const (
	// SecurityRead: see users, attempts and events.
	SecurityRead Right = "security:read"
	// SecurityExport: take them away in bulk.
	SecurityExport Right = "security:export"
	// SecurityRaw: see the full address, the user agent and the raw message.
	SecurityRaw Right = "security:raw"
	// ParkedManage: replay and discard parked messages.
	ParkedManage Right = "parked:manage"
	// RetentionManage: decide how long events are kept.
	RetentionManage Right = "retention:manage"
	// AccessRead: see who looked at what.
	AccessRead Right = "access:read"
)

// Rights lists all rights.
func Rights() []Right {
	return []Right{SecurityRead, SecurityExport, SecurityRaw, ParkedManage, RetentionManage, AccessRead}
}

// AllAccounts is the account of a grant for every account. No account can
// have this name.
const AllAccounts = "*"

// Viewer is who reads the page or the API.
type Viewer struct {
	// Name is how the viewer is called in the record of reads.
	Name string
	// Grants are the rights by account; [AllAccounts] stands for every account.
	// They are not changed after the Viewer was made.
	Grants map[string][]Right
}

// Administrator is a viewer with every right on every account.
func Administrator(name string) Viewer {
	return Viewer{Name: name, Grants: map[string][]Right{AllAccounts: Rights()}}
}

// Can reports whether the viewer has the right on the account.
func (v Viewer) Can(right Right, account string) bool {
	return slices.Contains(v.Grants[account], right) || slices.Contains(v.Grants[AllAccounts], right)
}

// Knows reports whether the viewer has any right on the account. To others
// the account does not exist.
func (v Viewer) Knows(account string) bool {
	return len(v.Grants[account]) > 0 || len(v.Grants[AllAccounts]) > 0
}
