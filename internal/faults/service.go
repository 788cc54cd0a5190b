package faults

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// service is what a worker and the query service share: a command with settings
// that can be started again and again.
type service struct {
	system  *System
	program string
	env     []string
	flags   []string
	process *testsystem.Process
	admin   string
	peak    int64
	frozen  bool
}

// Start starts it and waits until it answers on its admin address. Whether it is
// ready is another question: Ready waits for that.
func (s *service) Start() {
	tb := s.system.tb
	tb.Helper()
	s.frozen = false
	cmd := testsystem.Command(tb, s.program, s.flags...)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Env = append(cmd.Env, "LOGINAUDIT_ADMIN_ADDR=127.0.0.1:0", "LOGINAUDIT_LOG_FORMAT=json")
	s.process = testsystem.Start(tb, cmd)
	s.admin = s.said(`"admin":"([^"]+)"`)
}

// said waits for what the process logs by a pattern and gives its first group.
func (s *service) said(pattern string) string {
	s.system.tb.Helper()
	wanted := regexp.MustCompile(pattern)
	var found []string
	s.process.Until(s.system.tb, "it logs "+pattern, func() error {
		if found = wanted.FindStringSubmatch(s.process.Err()); found == nil {
			return errors.New("not said")
		}
		return nil
	})
	return found[1]
}

// Ready waits until it says that it is ready.
func (s *service) Ready() {
	s.system.tb.Helper()
	s.process.Until(s.system.tb, s.program+" is ready", s.NotReady)
}

// NotReady is why it is not ready, nil where it is.
func (s *service) NotReady() error { return testsystem.Ready(s.system.tb.Context(), s.admin) }

// NotLive is why it says that it should be started again, nil where it does not.
func (s *service) NotLive() error {
	status, body, err := testsystem.Fetch(s.system.tb.Context(), "http://"+s.admin+"/livez?verbose", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

// Kill ends it by kill -9.
func (s *service) Kill() {
	s.system.tb.Helper()
	s.Peak()
	s.process.Kill(s.system.tb)
}

// Stop ends it in order, and fails the test when its exit status is not 0.
func (s *service) Stop() {
	s.system.tb.Helper()
	s.Peak()
	s.process.Stop(s.system.tb)
}

// Freeze halts it: its connections stay open, and it does nothing.
func (s *service) Freeze() {
	s.system.tb.Helper()
	s.process.Freeze(s.system.tb)
	s.frozen = true
}

// Thaw lets it go on.
func (s *service) Thaw() {
	s.system.tb.Helper()
	s.process.Thaw(s.system.tb)
	s.frozen = false
}

// Process is its process, or that of its last run.
func (s *service) Process() *testsystem.Process { return s.process }

// runs tells that it was started and answers.
func (s *service) runs() bool { return s.process != nil && !s.process.HasEnded() && !s.frozen }

// Peak is the most memory, in bytes, that it has had resident in any of its
// runs, as far as was looked: at the end of each run by Kill or Stop, and now.
func (s *service) Peak() int64 {
	if s.process != nil {
		s.peak = max(s.peak, s.process.PeakMemory())
	}
	return s.peak
}

// Metric is the value of one series, or the sum of all series of a name:
// `loginaudit_ingest_events_total{result="parked"}`, or without the braces. It
// is 0 while it cannot be asked for.
func (s *service) Metric(name string) float64 {
	status, text, err := testsystem.Fetch(s.system.tb.Context(), "http://"+s.admin+"/metrics", "")
	if err != nil || status != http.StatusOK {
		return 0
	}
	sum := 0.0
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		family, _, _ := strings.Cut(series, "{")
		if series != name && family != name {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sum += v
		}
	}
	return sum
}

// Worker is an ingest process, with the least rights, behind proxies of its own.
// It is not started yet when it is made, so that its links can be broken before.
type Worker struct {
	// NATS and ClickHouse are its connections. They outlive its runs.
	NATS, ClickHouse *Link
	service
}

// NewWorker prepares a worker, with further flags of the command ingest. Unless
// told otherwise, a batch waits no longer than 50 ms for more.
func (s *System) NewWorker(flags ...string) *Worker {
	s.tb.Helper()
	w := &Worker{
		NATS:       newLink(s.tb, s.proxies, s.NATS.Addr()),
		ClickHouse: newLink(s.tb, s.proxies, s.ClickHouse.Addr()),
	}
	w.service = service{
		system: s, program: "ingest",
		env:   append(s.clickHouseEnv(w.ClickHouse.Addr(), engine.RoleWriter), s.natsEnv(w.NATS.Addr(), engine.UserIngest)...),
		flags: append([]string{"--stream-ensure=false", "--ingest-batch-wait=50ms"}, flags...),
	}
	s.workers = append(s.workers, w)
	return w
}

// Query is a query process behind a proxy of its own.
type Query struct {
	// ClickHouse is its connections. They outlive its runs.
	ClickHouse *Link
	service
	addr string
}

func newQuery(s *System) *Query {
	s.tb.Helper()
	q := &Query{ClickHouse: newLink(s.tb, s.proxies, s.ClickHouse.Addr()), addr: freeAddress(s.tb)}
	q.service = service{
		system: s, program: "query",
		env: append(s.clickHouseEnv(q.ClickHouse.Addr(), engine.RoleReader),
			"LOGINAUDIT_ADMIN_TOKEN_FILE="+s.tokenFile, "LOGINAUDIT_HTTP_ADDR="+q.addr),
	}
	return q
}

// URL is where its API is, also while it does not run.
func (q *Query) URL() string { return "http://" + q.addr }
