package deploycheck

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
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

// command is a service of the compose file as a process, not started.
func (in *installation) command(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	s := compose(t).Services[name]
	cmd := testsystem.Command(t, filepath.Join(in.binaries, s.Build.Target), s.Command...)
	cmd.Env = nil // the compose file names all
	here := strings.NewReplacer("nats://nats:4222", in.natsURL, "clickhouse:9000", in.clickHouse.addr, "/run/secrets", in.secrets)
	for variable, value := range s.Environment {
		cmd.Env = append(cmd.Env, variable+"="+here.Replace(*value))
	}
	// The images bring the zones; each container has its own loopback.
	cmd.Env = append(cmd.Env, "ZONEINFO="+os.Getenv("ZONEINFO"),
		"LOGINAUDIT_ADMIN_ADDR="+in.addresses[name], "LOGINAUDIT_HTTP_ADDR="+in.addresses["page"])
	return cmd
}

// ready waits with the health check of the compose file.
func (in *installation) ready(t testing.TB, name string, p *testsystem.Process) {
	t.Helper()
	test := compose(t).Services[name].HealthCheck.Test
	p.Until(t, name+" is healthy", func() error {
		url := "http://" + in.addresses[name] + "/readyz"
		r := testsystem.Run(t, testsystem.Command(t, filepath.Join(in.binaries, test[1]), test[2], url))
		if r.Status != 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// get asks the API, and wants the status.
func (in *installation) get(t testing.TB, path, token string, want int) string {
	t.Helper()
	status, body, err := testsystem.Fetch(t.Context(), "http://"+in.addresses["page"]+path, token)
	if err != nil {
		t.Fatal(err)
	}
	if status != want {
		t.Fatalf("GET %s: %d, want %d: %s", path, status, want, body)
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
	testsystem.Until(t, "the answers are complete", func() error {
		if err := json.Unmarshal([]byte(in.get(t, "/api/v1/accounts/acme/events?order=asc", in.token, http.StatusOK)), &answer); err != nil {
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
		if r := testsystem.Run(t, in.command(t, name)); r.Status != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
	}
	first := plainEvent("1", "01.5")
	publishPlain(t, js, first)
	ingest := testsystem.Start(t, in.command(t, "ingest"))
	query := testsystem.Start(t, in.command(t, "query"))
	in.ready(t, "ingest", ingest)
	in.ready(t, "query", query)
	in.waitForEvents(t, 1, "1")
	in.get(t, "/api/v1/accounts/acme/events", "", http.StatusUnauthorized)
	in.get(t, "/api/v1/accounts/acme/events", "la_admin_"+strings.Repeat("x", 52), http.StatusUnauthorized)

	ingest.Kill(t)
	publishPlain(t, js, plainEvent("2", "02"))
	publishPlain(t, js, "no event")
	upTo := publishPlain(t, js, first) // a repeat
	killed := ingest
	ingest = testsystem.Start(t, in.command(t, "ingest"))
	in.waitForEvents(t, upTo, "1", "2")
	operator, _ := connectAs(t, in.natsURL, in.keys["operator"])
	parked, err := stream.NewInbox(jetStream(t, operator)).Get(t.Context(), 1)
	if err != nil || string(parked.Body) != "no event" {
		t.Errorf("parked %q, %v", parked.Body, err)
	}

	documentedMetricsAreTold(t, in)
	query.Stop(t)
	ingest.Stop(t)
	for name, p := range map[string]*testsystem.Process{"ingest": ingest, "ingest that was killed": killed, "query": query} {
		logged := p.Out() + p.Err()
		noSecretWasLogged(t, in, name, logged)
		if strings.Contains(logged, "ermissions") || strings.Contains(logged, "refused") {
			t.Errorf("%s wants more rights than it has:\n%s", name, logged)
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
		r := testsystem.Run(t, in.command(t, name))
		if r.Status != 1 || !strings.Contains(r.Err, "loginaudit migrate") {
			t.Errorf("%s without a schema: %+v", name, r)
		}
	}
}

func noSecretWasLogged(t *testing.T, in *installation, name, logged string) {
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
	for _, secret := range secrets {
		if strings.Contains(logged, secret) {
			t.Errorf("%s logged %q", name, secret)
		}
	}
}

// documentedMetricsAreTold compares docs/operations.md and the alerts with what
// the processes tell at /metrics. What only the embedded servers have is told by
// serve, see TestMetricsOfARunningSystem.
func documentedMetricsAreTold(t *testing.T, in *installation) {
	t.Helper()
	var told scraped
	for _, name := range []string{"ingest", "query"} {
		told.scrape(t, "loginaudit-"+name, in.addresses[name])
	}
	documented := documentedMetrics(t)
	for _, name := range told.ours() {
		if rowOf(documented, name) == "" {
			t.Errorf("docs/operations.md does not tell what %s means", name)
		}
	}
	check := newPromCheck(t)
	embedded := regexp.MustCompile(`loginaudit_(engine|data_disk|tls)_`)
	for _, r := range check.rules(t) {
		if embedded.MatchString(r.Expression.Text) {
			continue
		}
		for _, wrong := range told.wrong(r.Expression) {
			t.Errorf("%s: %s", r.Alert, wrong)
		}
	}
	onlyWatchdogFires(t, check, told)
}

// What make builds is the engine's child as well, which the images' programs
// are not and the other tests' binaries are by themselves.
func TestBinaryThatMakeBuildsServesWithItsOwnEngine(t *testing.T) {
	program := filepath.Join(t.TempDir(), "loginaudit")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/loginaudit")
	build.Dir = testsystem.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if r := testsystem.Run(t, build); r.Status != 0 {
		t.Fatalf("go build: %+v", r)
	}
	system := testsystem.Serve(t, program, t.TempDir())
	if r := system.Run(t, plainEvent("1", "01"), "import", "--wait", "-"); r.Status != 0 {
		t.Fatalf("import: %+v", r)
	}
	var answer struct {
		Events []struct {
			ID string `json:"id"`
		} `json:"events"`
	}
	system.Ask(t, "/api/v1/accounts/acme/events", &answer)
	if len(answer.Events) != 1 || answer.Events[0].ID != "1" {
		t.Errorf("events %+v, want event 1", answer.Events)
	}
	system.Stop(t)
}
