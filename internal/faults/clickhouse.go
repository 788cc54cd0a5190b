package faults

import (
	"context"
	"errors"
	"io"
	"net/http"
	"syscall"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// Env sets settings (LOGINAUDIT_NAME=VALUE) from its next start on; of two the
// later one counts.
func (s *service) Env(settings ...string) { s.env = append(s.env, settings...) }

// SignInAs lets it sign in to ClickHouse as another role, from its next start on.
func (w *Worker) SignInAs(role engine.Role) {
	w.Env(w.system.clickHouseEnv(w.ClickHouse.Addr(), role)...)
}

// StoreConfig is for a client of the test's own that signs in to ClickHouse as a
// role, through a link to it.
func (s *System) StoreConfig(through *Link, role engine.Role) store.Config {
	return store.Config{
		Addr: through.Addr(), Database: "loginaudit",
		Username: string(role), Password: s.ClickHouse.ready.Keys[string(role)],
	}
}

// Fails starts it, waits until it has ended by itself, and tells how.
func (s *service) Fails() testsystem.Result {
	s.system.tb.Helper()
	cmd := testsystem.Command(s.system.tb, s.program, s.flags...)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Env = append(cmd.Env, "LOGINAUDIT_ADMIN_ADDR=127.0.0.1:0", "LOGINAUDIT_LOG_FORMAT=json")
	return testsystem.Run(s.system.tb, cmd)
}

// KillParent ends its process by kill -9, and not what that has started.
func (s *Server) KillParent() {
	s.tb.Helper()
	s.process.Signal(s.tb, syscall.SIGKILL)
	s.process.Wait(s.tb)
}

// Answer is what the API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Ask asks the API as the administrator, whatever the answer. Its connection is
// its own. It may be called by any goroutine.
func (s *System) Ask(path string) (Answer, error) {
	ctx, cancel := context.WithTimeout(s.tb.Context(), testsystem.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Query.URL()+path, http.NoBody)
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return Answer{}, err
	}
	text, err := io.ReadAll(answer.Body)
	return Answer{answer.StatusCode, answer.Header, string(text)}, errors.Join(err, answer.Body.Close())
}

// AccountPath is a path of the API about one of the accounts that are published.
func (s *System) AccountPath(rest string) string { return accountPath(s.events.names[0]) + rest }

// Acknowledged is how many messages of LOGIN_EVENTS are acknowledged.
func (s *System) Acknowledged() (uint64, error) {
	consumer, err := s.ConsumerInfo()
	if err != nil {
		return 0, err
	}
	// NumPending would not do: the server counts a new message a moment later.
	return consumer.Delivered.Stream - uint64(consumer.NumAckPending), nil
}

// NewQuery prepares one more query service, which Check does not ask. It is not
// started yet.
func (s *System) NewQuery() *Query {
	s.tb.Helper()
	return newQuery(s)
}
