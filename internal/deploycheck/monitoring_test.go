package deploycheck

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

const monitoringFile = "deploy/compose.monitoring.yml"

// monitoring is the compose file with Prometheus and Grafana.
func monitoring(t testing.TB) *types.Project {
	t.Helper()
	project, err := loadCompose(t, composeEnvironment(), "docker-compose.yml", monitoringFile)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestMonitoringAddsPrometheusAndGrafanaOnLoopbackAndChangesNothingElse(t *testing.T) {
	plain, both := compose(t), monitoring(t)
	for name, s := range both.Services {
		if name == "prometheus" || name == "grafana" {
			hardened(t, s)
			continue
		}
		before := plain.Services[name]
		if !slices.EqualFunc(s.Ports, before.Ports, func(a, b types.ServicePortConfig) bool { return a.Target == b.Target && a.HostIP == b.HostIP }) ||
			!maps.EqualFunc(s.Networks, before.Networks, func(_, _ *types.ServiceNetworkConfig) bool { return true }) || s.Image != before.Image {
			t.Errorf("%s is another with monitoring", name)
		}
	}
	if len(both.Services) != len(plain.Services)+2 {
		t.Errorf("services %v", slices.Sorted(maps.Keys(both.Services)))
	}
	if ports := both.Services["grafana"].Ports; len(ports) != 1 || ports[0].HostIP != "127.0.0.1" || ports[0].Target != 3000 {
		t.Errorf("grafana publishes %+v", ports)
	}
	prometheus := both.Services["prometheus"]
	if _, outside := prometheus.Networks["edge"]; outside || len(prometheus.Ports) > 0 {
		t.Errorf("prometheus can be reached from outside: %+v, %v", prometheus.Ports, prometheus.Networks)
	}
	if !both.Networks["backend"].Internal {
		t.Error("the network of the servers has a way out")
	}
}

// Prometheus scrapes the addresses on which the processes tell their metrics,
// and reads the alerts.
func TestMonitoringScrapesTheAdminAddresses(t *testing.T) {
	check, project := newPromCheck(t), monitoring(t)
	config := check.ask(t, promRequest{Config: projectFile(t, "deploy/prometheus/prometheus.yml")}).Config
	targets := map[string]string{}
	for _, c := range config.ScrapeConfigs {
		for _, s := range c.StaticConfigs {
			for _, target := range s.Targets {
				targets[c.JobName] = target
			}
		}
	}
	want := map[string]string{}
	for _, name := range []string{"ingest", "query"} {
		admin := *project.Services[name].Environment["LOGINAUDIT_ADMIN_ADDR"]
		host, port, _ := strings.Cut(admin, ":")
		test := strings.Join(project.Services[name].HealthCheck.Test, " ")
		if host != "0.0.0.0" || !strings.HasSuffix(test, "http://127.0.0.1:"+port+"/readyz") {
			t.Errorf("%s listens on %s, its health is asked by %s", name, admin, test)
		}
		want["loginaudit-"+name] = name + ":" + port
	}
	if !maps.Equal(targets, want) {
		t.Errorf("targets %v, want %v", targets, want)
	}
	embedded := check.ask(t, promRequest{Config: projectFile(t, "deploy/prometheus/embedded.yml")}).Config
	admin := program(t, []string{"loginaudit", "serve"}).Flags().Lookup("admin-addr").DefValue
	if got := embedded.ScrapeConfigs; len(got) != 1 || got[0].JobName != "loginaudit-serve" || got[0].StaticConfigs[0].Targets[0] != admin {
		t.Errorf("serve is scraped by %+v, listens on %s", got, admin)
	}
	for _, c := range []promConfig{config, embedded} {
		if !slices.Equal(c.RuleFiles, []string{filepath.Base(alertsFile)}) || c.Global.ScrapeInterval != "5s" || c.Global.EvaluationInterval != "5s" {
			t.Errorf("rules %v, %+v", c.RuleFiles, c.Global)
		}
	}
}

// hardened fails for what the tests of the compose file want of every service.
func hardened(t testing.TB, s types.ServiceConfig) {
	t.Helper()
	if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("%s is not confined", s.Name)
	}
	if s.User == "" || strings.HasPrefix(s.User, "0") || s.Restart != "unless-stopped" || s.Logging.Options["max-size"] == "" {
		t.Errorf("%s: user %q, restart %q, log %v", s.Name, s.User, s.Restart, s.Logging)
	}
	if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.MemoryBytes == 0 || s.Deploy.Resources.Limits.Pids == 0 {
		t.Errorf("%s: no limits", s.Name)
	}
	if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD" {
		t.Errorf("%s: health check %+v", s.Name, s.HealthCheck)
	}
	if !regexp.MustCompile(`:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
		t.Errorf("%s: image %s names no exact version", s.Name, s.Image)
	}
	for _, v := range s.Volumes {
		if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && (err != nil || !v.ReadOnly) {
			t.Errorf("%s mounts %s: %v, read only %v", s.Name, v.Source, err, v.ReadOnly)
		}
	}
}

// The rules are tested by the code of the Prometheus that runs them: its module
// v0.X.Y is the release X/100.X%100.Y.
func TestMonitoringRunsThePrometheusThatTheRulesAreTestedWith(t *testing.T) {
	m := regexp.MustCompile(`github.com/prometheus/prometheus v0\.(\d+)(\d\d)\.(\d+)\n`).
		FindStringSubmatch(projectFile(t, "internal/tools/promcheck/go.mod"))
	if m == nil {
		t.Fatal("promcheck is not built from Prometheus")
	}
	want := "prom/prometheus:v" + m[1] + "." + strings.TrimPrefix(m[2], "0") + "." + m[3]
	if image := monitoring(t).Services["prometheus"].Image; image != want {
		t.Errorf("the image is %s, the tests are by %s", image, want)
	}
}

// The password of Grafana's administrator is a file that the documented step
// makes; without it nothing starts, and there is no default.
func TestDocumentedStepMakesThePasswordOfGrafana(t *testing.T) {
	dir := projectCopy(t)
	password := filepath.Join(dir, "deploy", "secrets", "grafana_admin_password")
	var first string
	for range 2 { // again does no harm
		shell := exec.Command("bash", "-euo", "pipefail", "-c", documentedStep(t, "monitoring"))
		shell.Dir = dir
		if out, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(password)
		if err != nil || len(strings.TrimSpace(string(text))) < 32 || first != "" && string(text) != first {
			t.Fatalf("%q, before %q, %v", text, first, err)
		}
		first = string(text)
	}
	if info, err := os.Stat(password); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%v, %v", info, err)
	}
	project := monitoring(t)
	if got := project.Secrets["grafana_admin_password"].File; got != filepath.Join(testsystem.Root(t), "deploy", "secrets", "grafana_admin_password") {
		t.Errorf("the secret is kept in %s", got)
	}
	grafana := project.Services["grafana"]
	if file := grafana.Environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]; file == nil || *file != "/run/secrets/grafana_admin_password" ||
		len(grafana.Secrets) != 1 || grafana.Secrets[0].Source != "grafana_admin_password" {
		t.Errorf("grafana reads %v, has %+v", file, grafana.Secrets)
	}
}
