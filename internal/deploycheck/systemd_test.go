package deploycheck

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// unitFile is a systemd unit: section, directive, its values in order.
type unitFile map[string]map[string][]string

func (u unitFile) get(section, name string) string {
	values := u[section][name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// environment is what the unit sets for its program.
func (u unitFile) environment() map[string]string {
	environ := map[string]string{}
	for _, pair := range u["Service"]["Environment"] {
		name, value, _ := strings.Cut(pair, "=")
		environ[name] = value
	}
	return environ
}

// units are the unit files of deploy/systemd, by name.
func units(t testing.TB) map[string]unitFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testsystem.Root(t), "deploy", "systemd", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]unitFile{}
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = parseUnit(t, file)
		file.Close()
	}
	return all
}

func parseUnit(t testing.TB, file *os.File) unitFile {
	t.Helper()
	unit, section := unitFile{}, ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			unit[section] = map[string][]string{}
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("%s: %q", file.Name(), line)
			}
			unit[section][name] = append(unit[section][name], value)
		}
	}
	return unit
}

func TestUnitsAreThoseOfTheThreeServices(t *testing.T) {
	var names []string
	for name := range units(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"loginaudit-ingest.service", "loginaudit-query.service", "loginaudit.service"}
	if !slices.Equal(names, want) {
		t.Errorf("units %v, want %v", names, want)
	}
}

func TestUnitsAreHardened(t *testing.T) {
	want := map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "ProtectHome": "yes",
		"PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes",
		"ProtectControlGroups": "yes", "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "UMask": "0077", "SystemCallArchitectures": "native", "Restart": "always",
	}
	for name, unit := range units(t) {
		for directive, value := range want {
			got, ok := unit["Service"][directive]
			if !ok || got[len(got)-1] != value {
				t.Errorf("%s: %s=%v, want %q", name, directive, got, value)
			}
		}
		filters := strings.Join(unit["Service"]["SystemCallFilter"], " ")
		if !strings.HasPrefix(filters, "@system-service") || !strings.Contains(filters, "~@privileged") {
			t.Errorf("%s: SystemCallFilter=%s", name, filters)
		}
		if user := unit.get("Service", "User"); user != "" {
			t.Errorf("%s runs as %s", name, user)
		}
	}
}

// No program tells systemd when it is ready, so none may be waited for.
func TestUnitsAreOfTypeExec(t *testing.T) {
	for name, unit := range units(t) {
		if got := unit.get("Service", "Type"); got != "exec" {
			t.Errorf("%s: Type=%s", name, got)
		}
	}
}

func TestUnitsStopLaterThanTheProgramsDo(t *testing.T) {
	for name, unit := range units(t) {
		own, err := time.ParseDuration(unit.environment()["LOGINAUDIT_STOP_TIMEOUT"])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		killed, err := time.ParseDuration(unit.get("Service", "TimeoutStopSec") + "s")
		if err != nil || killed <= own {
			t.Errorf("%s: killed after %v, its own bound is %v (%v)", name, killed, own, err)
		}
	}
}

func TestUnitsSettingsAndFlagsAreKnownToThePrograms(t *testing.T) {
	for name, unit := range units(t) {
		line := strings.Fields(unit.get("Service", "ExecStart"))
		cmd := program(t, line)
		var names []string
		for variable := range unit.environment() {
			names = append(names, variable)
		}
		checkVariables(t, name, cmd, names)
		checkFlags(t, name, cmd, line[1:])
	}
}

// Secrets reach the programs as credentials, in files that only they can read.
func TestUnitsSecretsAreCredentials(t *testing.T) {
	for name, unit := range units(t) {
		loaded := map[string]bool{}
		for _, credential := range unit["Service"]["LoadCredential"] {
			id, path, ok := strings.Cut(credential, ":")
			if !ok || !strings.HasPrefix(path, "/etc/loginaudit/secrets/") {
				t.Errorf("%s: LoadCredential=%s", name, credential)
			}
			loaded["%d/"+id] = true
		}
		for variable, value := range unit.environment() {
			if strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "TOKEN") || strings.HasSuffix(variable, "_NKEY") {
				if !loaded[value] {
					t.Errorf("%s: %s=%s is no credential", name, variable, value)
				}
				delete(loaded, value)
			}
		}
		if len(loaded) > 0 {
			t.Errorf("%s: nothing reads %v", name, loaded)
		}
	}
}

// Where systemd is, it reads the units itself, and says how exposed they are
// (0 is nothing, 10 everything).
func TestUnitsPleaseSystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // the other tests have read them already
	}
	dir := t.TempDir()
	for name := range units(t) {
		// The programs are not installed here.
		text := strings.NewReplacer(
			"ExecStart=/usr/lib/loginaudit/ingest", "ExecStart=/bin/true",
			"ExecStart=/usr/lib/loginaudit/query", "ExecStart=/bin/true",
			"ExecStart=/usr/lib/loginaudit/loginaudit", "ExecStart=/bin/true",
		).Replace(projectFile(t, "deploy/systemd/"+name))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", path).CombinedOutput()
		if err != nil {
			t.Errorf("%s is exposed: %v\n%s", name, err, out)
		}
	}
}
