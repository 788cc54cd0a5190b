package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestALeaderIsCertainOnlyOfWhatMostHaveConfirmed(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	peer := func(active time.Duration) *jetstream.PeerInfo { return &jetstream.PeerInfo{Active: active} }
	gone := &jetstream.PeerInfo{Active: time.Millisecond, Offline: true}
	for name, c := range map[string]struct {
		cluster *jetstream.ClusterInfo
		behind  time.Duration // -1: not certain of anything
	}{
		"alone":                       {nil, 0},
		"without replicas":            {&jetstream.ClusterInfo{}, 0},
		"both are near":               {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(9 * time.Millisecond), peer(2 * time.Millisecond)}}, 2 * time.Millisecond},
		"one is far":                  {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(time.Hour), peer(3 * time.Millisecond)}}, 3 * time.Millisecond},
		"one is offline":              {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{gone, peer(time.Second)}}, time.Second},
		"both are far":                {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(8 * time.Second), peer(9 * time.Second)}}, 8 * time.Second},
		"both are offline":            {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{gone, gone}}, -1},
		"never heard of":              {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(-1), peer(-1)}}, -1},
		"five, and two are near":      {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(1), peer(time.Hour), peer(4), peer(time.Hour)}}, 4},
		"two, and the other is known": {&jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(5)}}, 5},
	} {
		got, ok := ingest.Certain(&jetstream.StreamInfo{TimeStamp: at, Cluster: c.cluster})
		if ok != (c.behind >= 0) || ok && !got.Equal(at.Add(-c.behind)) {
			t.Errorf("%s: %s %t, want %s before %s", name, got, ok, c.behind, at)
		}
	}
}

// cluster is three servers that keep three copies.
type cluster struct {
	t       *testing.T
	servers []*natsserver.Server
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i, port := range ports {
		server, err := natsserver.NewServer(&natsserver.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true,
			StoreDir: t.TempDir(), NoLog: true, NoSigs: true, Routes: routes,
			Cluster: natsserver.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port},
		})
		if err != nil {
			t.Fatal(err)
		}
		server.Start()
		c.servers = append(c.servers, server)
		t.Cleanup(func() { c.stop(server) })
	}
	return c
}

func (c *cluster) stop(s *natsserver.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func (c *cluster) connect(s *natsserver.Server) jetstream.JetStream {
	c.t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.IgnoreDiscoveredServers())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// again asks until it works; servers of a cluster take their time to agree.
func (c *cluster) again(what string, do func(ctx context.Context) error) {
	c.t.Helper()
	all, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		once, cancel := context.WithTimeout(all, time.Second) // some questions get no answer
		err := do(once)
		cancel()
		if err == nil {
			return
		}
		if all.Err() != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
	}
}

// gather makes one server the leader of the stream and of its consumer.
func (c *cluster) gather(js jetstream.JetStream) (leader *natsserver.Server, others []*natsserver.Server) {
	c.t.Helper()
	c.again("one server leads both", func(ctx context.Context) error {
		str, consumer, err := stream.Open(ctx, js)
		if err != nil {
			return err
		}
		a, b := str.CachedInfo().Cluster.Leader, consumer.CachedInfo().Cluster.Leader
		if a == "" || a != b {
			body, _ := json.Marshal(map[string]any{"placement": map[string]string{"preferred": a}})
			_, err := js.Conn().RequestWithContext(ctx, "$JS.API.CONSUMER.LEADER.STEPDOWN."+stream.Events+"."+stream.Consumer, body)
			return fmt.Errorf("leaders are %q and %q: %w", a, b, err)
		}
		leader, others = nil, nil
		for _, s := range c.servers {
			if s.Name() == a {
				leader = s
				continue
			}
			others = append(others, s)
		}
		return nil
	})
	return leader, others
}

// A leader that is cut off from the others answers for some seconds as if nothing
// were the matter, while the others may already take messages without it.
func TestALeaderWithoutFollowersProvesNothingNew(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	js := c.connect(c.servers[0])
	c.again("the streams are made", func(ctx context.Context) error { return stream.Ensure(ctx, js, stream.Settings{Replicas: 3}) })
	leader, others := c.gather(js)
	s, to := &server{t: t, js: c.connect(leader), nats: leader}, newSink()
	last := uint64(0)
	c.again("events are published", func(context.Context) error {
		answer, err := s.js.Publish(t.Context(), "login.events.acme.login", encode(t, login("e")))
		if err == nil {
			last = answer.Sequence
		}
		return err
	})
	loop := s.run(to, nil)
	to.waitMark(t, last)
	to.wait(t, "the watermark goes on in time", func() bool {
		return to.marks[len(to.marks)-1].Time.After(to.marks[0].Time)
	})
	var stopping sync.WaitGroup
	for _, other := range others {
		stopping.Go(func() { c.stop(other) })
	}
	stopping.Wait()
	cut, told := time.Now(), len(to.allMarks())
	failures := loop.metric("watermark_failures_total", "")
	for loop.metric("watermark_failures_total", "") < failures+3 {
		to.mu.Lock()
		changed := to.changed
		to.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond):
		}
	}
	marks := to.allMarks()
	t.Logf("%d marks were told without followers", len(marks)-told)
	for _, mark := range marks {
		if mark.Time.After(cut) {
			t.Fatalf("the watermark claims %s, but the leader has been alone since %s", mark.Time, cut)
		}
	}
}
