package deploycheck

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// installation is the compose file without containers: the same binaries with
// the same settings, against servers with the same configuration, each started
// apart. Only addresses and the paths of secrets differ.
type installation struct {
	binaries   string
	secrets    string
	natsURL    string
	keys       natsKeys
	clickHouse clickHouse
	addresses  map[string]string // by service: HTTP, and admin
	token      string
}

func install(t *testing.T) *installation {
	t.Helper()
	in := &installation{binaries: buildAsInImages(t), secrets: t.TempDir(), token: "la_admin_" + rand.Text() + rand.Text()}
	in.natsURL, in.keys = startNATS(t)
	in.clickHouse = startClickHouse(t)
	in.addresses = map[string]string{"ingest": freeAddress(t), "query": freeAddress(t), "page": freeAddress(t)}
	contents := map[string]string{"admin_token": in.token}
	for user, password := range in.clickHouse.passwords {
		contents["clickhouse_"+user+"_password"] = password
	}
	for role, file := range in.keys {
		seed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents["nats_"+role+"_nkey"] = string(seed)
	}
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(in.secrets, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// freeAddress is a loopback address on which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output collects what a process writes; it may be read at any time.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// command is a service of the compose file as a process, not started.
func (in *installation) command(t testing.TB, name string) (*exec.Cmd, *output) {
	t.Helper()
	s := compose(t).Services[name]
	cmd := exec.Command(filepath.Join(in.binaries, s.Build.Target), s.Command...)
	here := strings.NewReplacer("nats://nats:4222", in.natsURL, "clickhouse:9000", in.clickHouse.addr, "/run/secrets", in.secrets)
	for variable, value := range s.Environment {
		cmd.Env = append(cmd.Env, variable+"="+here.Replace(*value))
	}
	// The images bring the zones; each container has its own loopback.
	cmd.Env = append(cmd.Env, "ZONEINFO="+os.Getenv("ZONEINFO"),
		"LOGINAUDIT_ADMIN_ADDR="+in.addresses[name], "LOGINAUDIT_HTTP_ADDR="+in.addresses["page"])
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// run runs a service that ends, and returns its exit status and what it said.
func (in *installation) run(t testing.TB, name string) (int, string) {
	t.Helper()
	cmd, out := in.command(t, name)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// service is a running process.
type service struct {
	name string
	cmd  *exec.Cmd
	out  *output
}

func (in *installation) start(t testing.TB, name string) *service {
	t.Helper()
	cmd, out := in.command(t, name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &service{name, cmd, out}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil { // the test failed before it ended it
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out)
		}
	})
	return s
}

// ready waits with the health check of the compose file.
func (in *installation) ready(t testing.TB, name string) {
	t.Helper()
	test := compose(t).Services[name].HealthCheck.Test
	eventually(t, name+" is healthy", func() error {
		url := "http://" + in.addresses[name] + "/readyz"
		out, err := exec.Command(filepath.Join(in.binaries, test[1]), test[2], url).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// kill is kill -9.
func (s *service) kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait()
}

// stop asks it to stop, as docker and systemd do, and wants status 0.
func (s *service) stop(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%s stopped with %v", s.name, err)
	}
}

// get asks the API, and wants the status.
func (in *installation) get(t testing.TB, path, token string, want int) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+in.addresses["page"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("GET %s: %s, want %d: %s", path, response.Status, want, body)
	}
	return body
}

// waitForEvents waits until the answers hold everything up to a sequence of the
// stream, and wants exactly the events, by id.
func (in *installation) waitForEvents(t testing.TB, upTo uint64, want ...string) {
	t.Helper()
	var answer struct {
		Events []struct {
			ID string `json:"id"`
		} `json:"events"`
		Watermark struct {
			StreamSeq uint64 `json:"stream_seq"`
		} `json:"watermark"`
	}
	eventually(t, "the answers are complete", func() error {
		if err := json.Unmarshal(in.get(t, "/api/v1/accounts/acme/events?order=asc", in.token, http.StatusOK), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Watermark.StreamSeq < upTo {
			return fmt.Errorf("at %d of %d", answer.Watermark.StreamSeq, upTo)
		}
		return nil
	})
	var got []string
	for _, e := range answer.Events {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// publish sends a body as any NATS client does, and returns its sequence.
func publishPlain(t testing.TB, js jetstream.JetStream, body string) uint64 {
	t.Helper()
	ack, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: "login.events.acme.login", Data: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func plainEvent(id, second string) string {
	return `{"id":"` + id + `","account":"acme","username":"ann","occurred_at":"2026-11-23T09:15:` + second +
		`Z","entry":1,"status":1,"session_id":"s-` + id + `","ip":"198.51.100.7"}`
}

// From nothing to an answer, in the order of the compose file, over a kill -9
// of the worker, to the end.
func TestBinariesRunAsTheComposeFileRunsThem(t *testing.T) {
	in := install(t)
	for _, name := range []string{"ingest", "query", "loginaudit"} {
		static(t, filepath.Join(in.binaries, name))
	}
	publisher, _ := connectAs(t, in.natsURL, in.keys["publisher"])
	js := jetStream(t, publisher)

	refusesToStartBeforeTheSchema(t, in)
	for _, name := range []string{"migrate", "streams", "migrate", "streams"} { // again does no harm
		if code, said := in.run(t, name); code != 0 {
			t.Fatalf("%s ended with %d: %s", name, code, said)
		}
	}
	first := plainEvent("1", "01.5")
	publishPlain(t, js, first)
	ingest, query := in.start(t, "ingest"), in.start(t, "query")
	in.ready(t, "ingest")
	in.ready(t, "query")
	in.waitForEvents(t, 1, "1")
	in.get(t, "/api/v1/accounts/acme/events", "", http.StatusUnauthorized)
	in.get(t, "/api/v1/accounts/acme/events", "la_admin_"+strings.Repeat("x", 52), http.StatusUnauthorized)

	ingest.kill(t)
	publishPlain(t, js, plainEvent("2", "02"))
	publishPlain(t, js, "no event")
	upTo := publishPlain(t, js, first) // a repeat
	ingest = in.start(t, "ingest")
	in.waitForEvents(t, upTo, "1", "2")
	operator, _ := connectAs(t, in.natsURL, in.keys["operator"])
	parked, err := stream.NewInbox(jetStream(t, operator)).Get(t.Context(), 1)
	if err != nil || string(parked.Body) != "no event" {
		t.Errorf("parked %q, %v", parked.Body, err)
	}

	documentedMetricsAreTold(t, in)
	query.stop(t)
	ingest.stop(t)
	noSecretWasLogged(t, in, ingest, query)
	for _, s := range []*service{ingest, query} {
		if strings.Contains(s.out.String(), "ermissions") || strings.Contains(s.out.String(), "refused") {
			t.Errorf("%s wants more rights than it has:\n%s", s.name, s.out)
		}
	}
}

// refusesToStartBeforeTheSchema: a service neither makes the schema itself nor
// goes on without, but says who makes it.
func refusesToStartBeforeTheSchema(t *testing.T, in *installation) {
	t.Helper()
	owner := in.clickHouse.as(t, "owner")
	if err := owner.Exec(t.Context(), "CREATE DATABASE loginaudit"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"query", "ingest"} {
		code, said := in.run(t, name)
		if code != 1 || !strings.Contains(said, "loginaudit migrate") {
			t.Errorf("%s without a schema ended with %d: %s", name, code, said)
		}
	}
}

func noSecretWasLogged(t *testing.T, in *installation, services ...*service) {
	t.Helper()
	secrets := []string{in.token, `"ann"`, "198.51.100.7"} // nor personal data
	for _, password := range in.clickHouse.passwords {
		secrets = append(secrets, password)
	}
	for _, file := range in.keys {
		seed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, strings.TrimSpace(string(seed)))
	}
	for _, s := range services {
		for _, secret := range secrets {
			if strings.Contains(s.out.String(), secret) {
				t.Errorf("%s logged %q", s.name, secret)
			}
		}
	}
}

// documentedMetricsAreTold compares docs/operations.md with what the processes
// tell at /metrics.
func documentedMetricsAreTold(t *testing.T, in *installation) {
	t.Helper()
	told := map[string]bool{}
	for _, name := range []string{"ingest", "query"} {
		response, err := http.Get("http://" + in.addresses[name] + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "# TYPE loginaudit_"); ok {
				metric, _, _ := strings.Cut(rest, " ")
				told["loginaudit_"+metric] = true
			}
		}
	}
	documented := documentedMetrics(t)
	for _, name := range slices.Sorted(maps.Keys(told)) {
		if !documented[name] {
			t.Errorf("docs/operations.md does not tell what %s means", name)
		}
	}
}
