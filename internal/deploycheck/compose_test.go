package deploycheck

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// composeSecrets are the variables that the compose file needs from .env.
func composeEnvironment() map[string]string {
	environ := map[string]string{}
	for _, variable := range natsRoles {
		environ[variable] = "U" + strings.Repeat("A", 55)
	}
	for _, variable := range clickHouseUsers {
		environ[variable] = strings.Repeat("0", 64)
	}
	return environ
}

// loadCompose reads compose files as docker compose does: merged, interpolated,
// checked against the specification's schema.
func loadCompose(t testing.TB, environ map[string]string, files ...string) (*types.Project, error) {
	t.Helper()
	details := types.ConfigDetails{WorkingDir: testsystem.Root(t), Environment: environ}
	for _, name := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: filepath.Join(testsystem.Root(t), name)})
	}
	return loader.LoadWithContext(t.Context(), details)
}

func compose(t testing.TB) *types.Project {
	t.Helper()
	project, err := loadCompose(t, composeEnvironment(), "docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// once are the services that do something and end.
func once(s types.ServiceConfig) bool {
	return slices.Contains([]string{"migrate", "streams", "nats-volume"}, s.Name)
}

func TestComposeHasTheServicesOfTheDesign(t *testing.T) {
	got := slices.Sorted(maps.Keys(compose(t).Services))
	want := []string{"clickhouse", "ingest", "migrate", "nats", "nats-volume", "query", "streams"}
	if !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
}

func TestComposePublishesOnlyThePageAndOnLoopback(t *testing.T) {
	project := compose(t)
	for _, s := range project.Services {
		if s.NetworkMode == "host" || s.Privileged {
			t.Errorf("%s is not confined", s.Name)
		}
		for _, p := range s.Ports {
			if s.Name != "query" || p.HostIP != "127.0.0.1" || p.Target != 8080 {
				t.Errorf("%s publishes %s:%s → %d", s.Name, p.HostIP, p.Published, p.Target)
			}
		}
		if _, outside := s.Networks["edge"]; outside != (s.Name == "query") {
			t.Errorf("%s in the network with a way out: %v", s.Name, outside)
		}
	}
	if len(project.Services["query"].Ports) != 1 {
		t.Error("the page is not published")
	}
	if !project.Networks["backend"].Internal {
		t.Error("the network of the servers has a way out")
	}
}

func TestComposeForPublishersAddsNATSOnLoopbackAndNothingElse(t *testing.T) {
	both, err := loadCompose(t, composeEnvironment(), "docker-compose.yml", "deploy/compose.publishers.yml")
	if err != nil {
		t.Fatal(err)
	}
	ports := both.Services["nats"].Ports
	if len(ports) != 1 || ports[0].HostIP != "127.0.0.1" || ports[0].Target != 4222 {
		t.Errorf("nats publishes %+v", ports)
	}
	for name, s := range both.Services {
		if n := len(s.Ports); n > 0 && name != "nats" && name != "query" {
			t.Errorf("%s publishes %+v", name, s.Ports)
		}
	}
}

func TestComposeHardensEveryService(t *testing.T) {
	for _, s := range compose(t).Services {
		if !s.ReadOnly {
			t.Errorf("%s: its file system can be written", s.Name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 && s.Name != "nats-volume" {
			t.Errorf("%s: capabilities dropped %v, added %v", s.Name, s.CapDrop, s.CapAdd)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: may get new privileges", s.Name)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil {
			t.Errorf("%s: no limits", s.Name)
		} else if l := s.Deploy.Resources.Limits; l.MemoryBytes == 0 || l.NanoCPUs == 0 || l.Pids == 0 {
			t.Errorf("%s: limits %+v", s.Name, l)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s: its log is not bounded", s.Name)
		}
		if s.Build == nil && s.Name != "nats-volume" && (s.User == "" || strings.HasPrefix(s.User, "0")) {
			t.Errorf("%s runs as user %q", s.Name, s.User)
		}
		want := "unless-stopped"
		if once(s) {
			want = "on-failure:5"
		}
		if s.Restart != want {
			t.Errorf("%s: restart %q, want %q", s.Name, s.Restart, want)
		}
	}
}

func TestComposeChecksHealthAndStartsInOrder(t *testing.T) {
	project := compose(t)
	for _, s := range project.Services {
		h := s.HealthCheck
		switch {
		case h == nil:
			t.Errorf("%s: nothing is said about its health", s.Name)
		case once(s) != h.Disable:
			t.Errorf("%s: health check disabled: %v", s.Name, h.Disable)
		case !h.Disable && (len(h.Test) < 2 || h.Test[0] != "CMD" || h.Interval == nil || h.Timeout == nil || h.Retries == nil || h.StartPeriod == nil):
			t.Errorf("%s: health check %+v", s.Name, h)
		}
	}
	want := map[string]map[string]string{
		"nats":    {"nats-volume": types.ServiceConditionCompletedSuccessfully},
		"migrate": {"clickhouse": types.ServiceConditionHealthy},
		"streams": {"nats": types.ServiceConditionHealthy},
		"ingest":  {"migrate": types.ServiceConditionCompletedSuccessfully, "streams": types.ServiceConditionCompletedSuccessfully},
		"query":   {"migrate": types.ServiceConditionCompletedSuccessfully},
	}
	for name, s := range project.Services {
		got := map[string]string{}
		for on, d := range s.DependsOn {
			got[on] = d.Condition
		}
		if !maps.Equal(got, want[name]) {
			t.Errorf("%s waits for %v, want %v", name, got, want[name])
		}
	}
}

// The health check's address is the one that the process listens on, by its
// setting.
func TestComposeHealthChecksAskTheAdminAddress(t *testing.T) {
	for _, name := range []string{"ingest", "query"} {
		s := compose(t).Services[name]
		url := s.HealthCheck.Test[len(s.HealthCheck.Test)-1]
		admin := s.Environment["LOGINAUDIT_ADMIN_ADDR"]
		if admin == nil || url != "http://"+*admin+"/readyz" {
			t.Errorf("%s is asked at %s, listens on %v", name, url, admin)
		}
		line := slices.Clone([]string(s.HealthCheck.Test[1:]))
		if cmd := program(t, line); cmd.Name() != "health" {
			t.Errorf("%s: health check runs %q", name, line)
		}
	}
}

func TestComposeStopsLaterThanTheProcessesDo(t *testing.T) {
	for _, name := range []string{"ingest", "query"} {
		s := compose(t).Services[name]
		bound, err := time.ParseDuration(*s.Environment["LOGINAUDIT_STOP_TIMEOUT"])
		if err != nil {
			t.Fatal(err)
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= bound {
			t.Errorf("%s: killed after %v, its own bound is %v", name, s.StopGracePeriod, bound)
		}
	}
}

func TestComposeHasNoSecretOfItsOwn(t *testing.T) {
	for missing := range composeEnvironment() {
		for _, value := range []string{"", "\x00"} {
			environ := composeEnvironment()
			environ[missing] = value
			if value == "\x00" {
				delete(environ, missing)
			}
			_, err := loadCompose(t, environ, "docker-compose.yml")
			if err == nil || !strings.Contains(err.Error(), missing) {
				t.Errorf("starts without %s: %v", missing, err)
			}
		}
	}
	project := compose(t)
	secretName := regexp.MustCompile(`(?i)(password|token|secret|seed)`)
	for _, s := range project.Services {
		for name, value := range s.Environment {
			if secretName.MatchString(name) && (!strings.HasSuffix(name, "_FILE") || !strings.HasPrefix(*value, "/run/secrets/")) {
				t.Errorf("%s: %s is in the environment", s.Name, name)
			}
		}
		for _, secret := range s.Secrets {
			if project.Secrets[secret.Source].File == "" {
				t.Errorf("%s: secret %s is no file", s.Name, secret.Source)
			}
		}
	}
	for name, secret := range project.Secrets {
		if filepath.Dir(secret.File) != filepath.Join(testsystem.Root(t), "deploy", "secrets") {
			t.Errorf("secret %s is kept in %s", name, secret.File)
		}
	}
}

// What a service is told to read from /run/secrets is a secret that it has.
func TestComposeSecretsAreWhereTheProgramsLook(t *testing.T) {
	for _, s := range compose(t).Services {
		has := map[string]bool{}
		for _, secret := range s.Secrets {
			has["/run/secrets/"+secret.Source] = true
		}
		for name, value := range s.Environment {
			if value != nil && strings.HasPrefix(*value, "/run/secrets/") {
				if !has[*value] {
					t.Errorf("%s: %s=%s is not there", s.Name, name, *value)
				}
				delete(has, *value)
			}
		}
		for secret := range has {
			t.Errorf("%s: nothing reads %s", s.Name, secret)
		}
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	version := regexp.MustCompile(`:\d+\.\d+\.\d+[\w.-]*$`)
	for _, s := range compose(t).Services {
		if s.Build == nil && !version.MatchString(s.Image) {
			t.Errorf("%s: image %s names no exact version", s.Name, s.Image)
		}
		if s.Build != nil && s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s: built from %s", s.Name, s.Build.Dockerfile)
		}
	}
}

// fixedClickHouse are the first versions of each line without CVE-2026-116366.
var fixedClickHouse = [][4]int{{26, 3, 62, 3}, {26, 8, 36, 3}, {26, 9, 27, 3}, {26, 10, 3, 7}}

func TestComposeClickHouseHasNotTheKnownHole(t *testing.T) {
	image := compose(t).Services["clickhouse"].Image
	_, tag, _ := strings.Cut(image, ":")
	if err := clickHouseSafe(tag); err != "" {
		t.Error(err)
	}
	for tag, safe := range map[string]bool{
		"26.8.36.3": true, "26.8.40.1": true, "26.8.36.2": false, "26.7.9.9": false, "25.8.1.1": false,
		"26.10.3.7": true, "26.10.3.6": false, "26.11.1.1": true, "26.3.62.3": true, "latest": false,
	} {
		if (clickHouseSafe(tag) == "") != safe {
			t.Errorf("%s safe: %v", tag, !safe)
		}
	}
}

// clickHouseSafe returns why a version is not safe.
func clickHouseSafe(tag string) string {
	var v [4]int
	parts := strings.SplitN(tag, ".", 4)
	for i := range parts {
		n, err := strconv.Atoi(strings.SplitN(parts[i], "-", 2)[0])
		if err != nil || len(parts) != 4 {
			return tag + " is no exact version"
		}
		v[i] = n
	}
	for _, fixed := range fixedClickHouse {
		if v[0] == fixed[0] && v[1] == fixed[1] {
			if slices.Compare(v[:], fixed[:]) < 0 {
				return tag + " has CVE-2026-116366"
			}
			return ""
		}
	}
	if newest := fixedClickHouse[len(fixedClickHouse)-1]; slices.Compare(v[:2], newest[:2]) > 0 {
		return ""
	}
	return tag + " is of a line that was never fixed"
}

func TestComposeNATSIsNewEnough(t *testing.T) {
	image := compose(t).Services["nats"].Image
	m := regexp.MustCompile(`^nats:2\.(\d+)\.(\d+)`).FindStringSubmatch(image)
	if m == nil {
		t.Fatalf("image %s", image)
	}
	minor, _ := strconv.Atoi(m[1])
	patch, _ := strconv.Atoi(m[2])
	if minor < 15 || minor == 15 && patch < 2 {
		t.Errorf("%s is older than 2.15.2", image)
	}
}

func TestComposeSettingsAreKnownToThePrograms(t *testing.T) {
	binaries := map[string][]string{"ingest": {"ingest"}, "query": {"query"}, "migrate": {"loginaudit"}, "streams": {"loginaudit"}}
	for name, line := range binaries {
		s := compose(t).Services[name]
		cmd := program(t, append(line, s.Command...))
		checkVariables(t, name, cmd, slices.Collect(maps.Keys(s.Environment)))
		checkFlags(t, name, cmd, s.Command)
		if s.Build.Target != line[0] {
			t.Errorf("%s is built as %s", name, s.Build.Target)
		}
	}
}

// The streams together stay below what NATS may take of the disk, so that a
// full stream is told to publishers.
func TestComposeStreamsFitIntoNATS(t *testing.T) {
	makeNATSKeys(t)
	environ := compose(t).Services["streams"].Environment
	size := func(name string) int64 {
		n, err := strconv.ParseInt(strings.TrimSuffix(*environ[name], "GiB"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n << 30
	}
	sum := size("LOGINAUDIT_STREAM_MAX_BYTES") + size("LOGINAUDIT_STREAM_PARKED_MAX_BYTES")
	if limit := natsOptions(t).JetStreamMaxStore; sum >= limit {
		t.Errorf("the streams take up to %d bytes, NATS %d", sum, limit)
	}
}

func TestComposeMountsWhatIsThere(t *testing.T) {
	for _, s := range compose(t).Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				t.Errorf("%s mounts %s: %v, read only %v", s.Name, v.Source, err, v.ReadOnly)
			}
		}
	}
}

func TestEnvExampleNamesWhatComposeNeedsAndHoldsNoValue(t *testing.T) {
	named := map[string]bool{}
	for line := range strings.Lines(projectFile(t, "deploy/.env.example")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if value != "" {
			t.Errorf("%s has a value", name)
		}
		named[name] = true
	}
	variable := regexp.MustCompile(`\$\{(\w+)`)
	files := []string{"docker-compose.yml", "deploy/compose.publishers.yml", monitoringFile}
	needed := ""
	for _, file := range files {
		needed += projectFile(t, file)
		for _, m := range variable.FindAllStringSubmatch(projectFile(t, file), -1) {
			if !named[m[1]] {
				t.Errorf("%s needs %s, which .env.example does not name", file, m[1])
			}
			named[m[1]] = true
		}
	}
	for name := range named {
		if !strings.Contains(needed, "${"+name) {
			t.Errorf(".env.example names %s, which nothing needs", name)
		}
	}
}
