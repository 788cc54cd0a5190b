package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// Link is every connection of one client to one server. They go through a proxy,
// which can do to them what networks do.
type Link struct {
	tb     testing.TB
	proxy  *toxiproxy.Proxy
	toxics []string // names of what was added
	added  int
}

// Direction is one of the two of a connection.
type Direction string

const (
	// ToServer is what the client sends.
	ToServer Direction = "upstream"
	// ToClient is what the server answers.
	ToClient Direction = "downstream"
)

// Toxic is something that happens to one direction of a [Link].
type Toxic struct {
	kind       string
	attributes map[string]any
}

// BlackHole takes everything and hands on nothing: the connection is half open.
// Connections that it has swallowed something of are closed by Heal.
func BlackHole() Toxic { return Toxic{"timeout", map[string]any{"timeout": 0}} }

// Latency delays everything by about d, at most jitter more or less.
func Latency(d, jitter time.Duration) Toxic {
	return Toxic{"latency", map[string]any{"latency": d.Milliseconds(), "jitter": jitter.Milliseconds()}}
}

// Bandwidth lets through so many KB a second.
func Bandwidth(rate int) Toxic { return Toxic{"bandwidth", map[string]any{"rate": rate}} }

// Slices hands on everything in pieces of about so many bytes, with a pause
// after each.
func Slices(size int, pause time.Duration) Toxic {
	return Toxic{"slicer", map[string]any{"average_size": size, "size_variation": size / 2, "delay": pause.Microseconds()}}
}

// CutAfter closes each connection when so many more bytes have gone this way.
func CutAfter(size int64) Toxic { return Toxic{"limit_data", map[string]any{"bytes": size}} }

// newProxies is what proxies belong to. It has no port of its own.
func newProxies() *toxiproxy.ApiServer {
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
}

func newLink(tb testing.TB, proxies *toxiproxy.ApiServer, upstream string) *Link {
	tb.Helper()
	l := &Link{tb: tb, proxy: toxiproxy.NewProxy(proxies, "link", freeAddress(tb), upstream)}
	if err := l.proxy.Start(); err != nil {
		tb.Fatalf("faults: start proxy: %v", err)
	}
	tb.Cleanup(l.proxy.Stop)
	return l
}

// Addr is where the client connects to, HOST:PORT.
func (l *Link) Addr() string { return l.proxy.Listen }

// Add lets something happen to one direction, of the connections that are there
// and of all that come, until Heal. Several add up.
func (l *Link) Add(d Direction, t Toxic) {
	l.tb.Helper()
	l.toxics = append(l.toxics, l.add(d, t, 1))
}

func (l *Link) add(d Direction, t Toxic, share float64) (name string) {
	l.tb.Helper()
	l.added++
	name = fmt.Sprintf("%s %d", t.kind, l.added)
	text, err := json.Marshal(map[string]any{
		"name": name, "type": t.kind, "stream": d, "toxicity": share, "attributes": t.attributes,
	})
	if err == nil {
		_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(text))
	}
	if err != nil {
		l.tb.Fatalf("faults: add %s: %v", t.kind, err)
	}
	return name
}

// ArmReset makes all connections from now on end by a reset (RST), however they
// end. It is called before the client connects, where Reset is to be a reset for
// connections that are open already.
func (l *Link) ArmReset() {
	l.tb.Helper()
	l.add(ToServer, reset(), 0)
	l.add(ToClient, reset(), 0)
}

func reset() Toxic { return Toxic{"reset_peer", map[string]any{"timeout": 0}} }

// Reset ends each connection, until Heal, when something goes this way, which is
// not handed on: with ToClient a request arrives and its answer does not. A
// connection that was open before just ends (EOF), unless ArmReset was called
// before that.
func (l *Link) Reset(d Direction) {
	l.tb.Helper()
	l.Add(d, reset())
}

// Cut closes all connections, and refuses new ones until Heal.
func (l *Link) Cut() { l.proxy.Stop() }

// Heal ends everything that Add, Reset and Cut began. A frozen peer is thawed
// first: what is on its way must be able to arrive.
func (l *Link) Heal() {
	l.tb.Helper()
	for _, name := range l.toxics {
		if err := l.proxy.Toxics.RemoveToxic(l.tb.Context(), name); err != nil {
			l.tb.Fatalf("faults: heal: %v", err)
		}
	}
	l.toxics = nil
	if !l.proxy.Enabled {
		// Another test may have tried whether the port is free.
		testsystem.Until(l.tb, "the link listens again", l.proxy.Start)
	}
}
