package testsystem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Addresses is the file addresses.json of a data directory, each as HOST:PORT.
type Addresses struct {
	HTTP       string `json:"http"`
	NATS       string `json:"nats"`
	Admin      string `json:"admin"`
	ClickHouse string `json:"clickhouse"`
}

// System is a `loginaudit serve` that serves.
type System struct {
	*Process
	// Dir is its data directory; it outlives the process.
	Dir string
	// Addresses are where it answers.
	Addresses Addresses
	// Token is the token of its administrator.
	Token string

	program string
}

// Serve starts `loginaudit serve` on a data directory and on free ports, with
// further flags, and waits until it is ready. The program is named as for
// Command. It ends with the test.
func Serve(tb testing.TB, program, dir string, flags ...string) *System {
	tb.Helper()
	args := append([]string{
		"serve", "--data-dir", dir, "--log-format", "json",
		"--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
	}, flags...)
	s := &System{Dir: dir, program: program}
	var before time.Time // what a killed run left must not be taken for this one's
	if info, err := os.Stat(s.addressesFile()); err == nil {
		before = info.ModTime()
	}
	s.Process = Start(tb, Command(tb, program, args...))
	s.Until(tb, "serve is ready", func() error {
		if err := s.read(before); err != nil {
			return err
		}
		return Ready(tb.Context(), s.Addresses.Admin)
	})
	return s
}

func (s *System) addressesFile() string { return filepath.Join(s.Dir, "addresses.json") }

// read reads what serve tells of itself in its data directory.
func (s *System) read(before time.Time) error {
	info, err := os.Stat(s.addressesFile())
	if err != nil {
		return err
	}
	if info.ModTime().Equal(before) {
		return errors.New("the addresses are those of an earlier run")
	}
	text, err := os.ReadFile(s.addressesFile())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.Addresses); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(s.Dir, "admin.token"))
	s.Token = strings.TrimSpace(string(token))
	return err
}

// URL is where the API and the page are, without a path.
func (s *System) URL() string { return "http://" + s.Addresses.HTTP }

// NATSURL is where publishers connect.
func (s *System) NATSURL() string { return "nats://" + s.Addresses.NATS }

// Run runs `loginaudit` with arguments on the system's data directory to its
// end, with a text as its standard input.
func (s *System) Run(tb testing.TB, in string, args ...string) Result {
	tb.Helper()
	cmd := Command(tb, s.program, append(args[:len(args):len(args)], "--data-dir", s.Dir)...)
	cmd.Stdin = strings.NewReader(in)
	return Run(tb, cmd)
}

// Ask decodes the answer of a path of the API to the administrator into v, and
// fails the test when the status is not 200.
func (s *System) Ask(tb testing.TB, path string, v any) {
	tb.Helper()
	status, body, err := Fetch(tb.Context(), s.URL()+path, s.Token)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), v)
	}
	if err != nil {
		tb.Fatalf("GET %s: %v: %s", path, err, body)
	}
}

// Ready asks a program's admin address, and returns why it is not ready.
func Ready(ctx context.Context, admin string) error {
	status, body, err := Fetch(ctx, "http://"+admin+"/readyz?verbose", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

// Fetch asks a URL, with a token of the API unless it is empty. Its connection
// is its own, so that it keeps no server from stopping.
func Fetch(ctx context.Context, url, token string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: Patience}
	answer, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), errors.Join(err, answer.Body.Close())
}
