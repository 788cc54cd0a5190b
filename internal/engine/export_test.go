package engine

import (
	"net"
	"path/filepath"
)

// InsideAddr is where the server itself listens, behind the door.
func (c *ClickHouse) InsideAddr() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return net.JoinHostPort("127.0.0.1", c.child.port)
}

// ServerLogs are the files that the server and the child write.
func ServerLogs(dir string) []string {
	l := layout{filepath.Join(dir, "server")}
	return []string{l.log(), l.childLog()}
}

// MaxPublishers is how many connections an account of publishers may have, and
// MaxSubscriptions how many subscriptions each of them.
const (
	MaxPublishers    = maxPublishers
	MaxSubscriptions = maxSubscriptions
)

// For tests of what has no door to the outside.
var (
	SearchLibrary  = searchLibrary
	LibraryPackage = libraryPackage
	MemTotal       = memTotal
	Alive          = alive
	StoreLimit     = storeLimit
	StoreRoom      = storeRoom
	ReadHello      = readHello
	Peepholes      = peepholes
	Confinement    = errNoConfinement
)

// RawHello is what was read of a connection.
func RawHello(h hello) []byte { return h.raw }
