package ops_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/spf13/pflag"
)

type sample struct {
	DataDir string   `koanf:"data-dir" help:"where"`
	HTTP    httpPart `koanf:"http"`
	Workers int      `koanf:"workers" help:"how many"`
	shared
}

type httpPart struct {
	Addr    string        `koanf:"addr" help:"address"`
	Timeout time.Duration `koanf:"timeout" help:"bound"`
	Trusted []string      `koanf:"trusted" help:"proxies"`
	Debug   bool          `koanf:"debug" help:"more"`
	Token   ops.Secret    `koanf:"token" help:"the token"`
	Memory  ops.Bytes     `koanf:"memory" help:"limit"`
	Ratio   float64       `koanf:"ratio" help:"share"`
}

type shared struct {
	Log ops.LogSettings `koanf:"log"`
}

func (s sample) Validate() error { return s.Log.Validate() }

func defaults() sample {
	return sample{
		DataDir: "./data", Workers: 2,
		HTTP:   httpPart{Addr: "127.0.0.1:8080", Timeout: 24 * time.Hour, Memory: 2 * ops.GiB, Ratio: 0.5},
		shared: shared{Log: ops.DefaultLog()},
	}
}

// load parses args and reads the settings with them.
func load(t testing.TB, args, environ []string) (sample, *ops.Settings[sample], error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s := ops.NewSettings(flags, defaults())
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(environ)
	return got, s, err
}

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsWithoutAnythingAreTheDefaults(t *testing.T) {
	got, _, err := load(t, nil, nil)
	if err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestFlagsComeBeforeEnvironmentBeforeFile(t *testing.T) {
	config := file(t, "c.yaml", "data-dir: from-file\nworkers: 5\nhttp:\n  addr: from-file\n  trusted: [10.0.0.1, 10.0.0.2]\n  debug: true\n  ratio: 0.25\n")
	got, _, err := load(t,
		[]string{"--data-dir", "from-flag", "--http-timeout", "30d"},
		[]string{"LOGINAUDIT_DATA_DIR=from-env", "LOGINAUDIT_HTTP_ADDR=from-env", "LOGINAUDIT_HTTP_MEMORY=512MiB",
			"LOGINAUDIT_CONFIG=" + config, "LOGINAUDIT_LOG_LEVEL=", "LOGINAUDIT_OF_ANOTHER_COMMAND=1"})
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.DataDir, want.Workers = "from-flag", 5
	want.HTTP = httpPart{
		Addr: "from-env", Timeout: 720 * time.Hour, Trusted: []string{"10.0.0.1", "10.0.0.2"},
		Debug: true, Memory: 512 * ops.MiB, Ratio: 0.25,
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func TestListsAreReadFromFlagsAndEnvironment(t *testing.T) {
	for _, c := range []struct{ args, environ []string }{
		{args: []string{"--http-trusted", "a,b"}},
		{args: []string{"--http-trusted", "a", "--http-trusted", "b"}},
		{environ: []string{"LOGINAUDIT_HTTP_TRUSTED=a, b"}},
	} {
		got, _, err := load(t, c.args, c.environ)
		if err != nil || !reflect.DeepEqual(got.HTTP.Trusted, []string{"a", "b"}) {
			t.Errorf("%v: %v, %v", c, got.HTTP.Trusted, err)
		}
	}
}

func TestSecretComesFromEnvironmentOrAFileAndTheStrongestDecides(t *testing.T) {
	held := file(t, "token", "from the file\n")
	config := file(t, "c.yaml", "http: {token: from-config}\n")
	for _, c := range []struct {
		args, environ []string
		want          ops.Secret
	}{
		{environ: []string{"LOGINAUDIT_HTTP_TOKEN=plain"}, want: "plain"},
		{environ: []string{"LOGINAUDIT_HTTP_TOKEN_FILE=" + held}, want: "from the file"},
		{args: []string{"--http-token-file", held}, environ: []string{"LOGINAUDIT_HTTP_TOKEN=plain"}, want: "from the file"},
		{args: []string{"--config", config}, want: "from-config"},
		{args: []string{"--config", config}, environ: []string{"LOGINAUDIT_HTTP_TOKEN_FILE=" + held}, want: "from the file"},
	} {
		got, _, err := load(t, c.args, c.environ)
		if err != nil || got.HTTP.Token != c.want {
			t.Errorf("%v %v: %q, %v", c.args, c.environ, got.HTTP.Token.Reveal(), err)
		}
	}
}

func TestSecretHasNoFlag(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	ops.NewSettings(flags, defaults())
	if flags.Lookup("http-token") != nil {
		t.Fatal("a secret on the command line can be read by everybody on the machine")
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	got, s, err := load(t, nil, []string{"LOGINAUDIT_HTTP_TOKEN=hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.YAML(got)
	if err != nil {
		t.Fatal(err)
	}
	text += fmt.Sprintf("%v %+v %#v %s %v", got, got, got, got.HTTP.Token, s.Shown(got))
	if strings.Contains(text, "hunter2") {
		t.Fatalf("printed: %s", text)
	}
	if !strings.Contains(text, "token: '***'") {
		t.Fatalf("that a secret is set does not show: %s", text)
	}
}

func TestPrintedSettingsCanBeReadBack(t *testing.T) {
	want, s, err := load(t, []string{"--http-timeout", "90m", "--http-memory", "3MiB", "--http-trusted", "x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.YAML(want)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := load(t, []string{"--config", file(t, "c.yaml", text)}, nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nfrom\n%s", got, err, text)
	}
}

func TestSettingsErrorsNameTheSettingItsSourceAndWhatIsAllowed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		args, environ []string
		want          []string
	}{
		"unknown keys":     {args: []string{"--config", file(t, "c.yaml", "htttp: {addr: x}\nnew: 1\n")}, want: []string{"htttp.addr, new", "known:", "http.addr"}},
		"no such file":     {args: []string{"--config", missing}, want: []string{missing}},
		"not yaml":         {args: []string{"--config", file(t, "c.yaml", "a: [")}, want: []string{"c.yaml"}},
		"duration":         {args: []string{"--http-timeout", "soon"}, want: []string{"--http-timeout", `"soon"`, "24h"}},
		"days":             {args: []string{"--http-timeout", "xd"}, want: []string{"--http-timeout", "30d"}},
		"size":             {environ: []string{"LOGINAUDIT_HTTP_MEMORY=2GB"}, want: []string{"LOGINAUDIT_HTTP_MEMORY", `"2GB"`, "GiB"}},
		"size too big":     {environ: []string{"LOGINAUDIT_HTTP_MEMORY=9999999TiB"}, want: []string{"LOGINAUDIT_HTTP_MEMORY"}},
		"whole number":     {environ: []string{"LOGINAUDIT_WORKERS=many"}, want: []string{"LOGINAUDIT_WORKERS", "whole number"}},
		"number":           {environ: []string{"LOGINAUDIT_HTTP_RATIO=half"}, want: []string{"LOGINAUDIT_HTTP_RATIO", "number"}},
		"bool":             {environ: []string{"LOGINAUDIT_HTTP_DEBUG=maybe"}, want: []string{"LOGINAUDIT_HTTP_DEBUG", "true"}},
		"list for one":     {args: []string{"--config", file(t, "c.yaml", "workers: [1, 2]\n")}, want: []string{"workers", "list"}},
		"both secrets":     {environ: []string{"LOGINAUDIT_HTTP_TOKEN=a", "LOGINAUDIT_HTTP_TOKEN_FILE=b"}, want: []string{"LOGINAUDIT_HTTP_TOKEN ", "LOGINAUDIT_HTTP_TOKEN_FILE", "exclude"}},
		"no secret file":   {environ: []string{"LOGINAUDIT_HTTP_TOKEN_FILE=" + missing}, want: []string{"LOGINAUDIT_HTTP_TOKEN_FILE", missing}},
		"validated":        {environ: []string{"LOGINAUDIT_LOG_LEVEL=loud"}, want: []string{"log.level", "loud", "debug"}},
		"validated format": {environ: []string{"LOGINAUDIT_LOG_FORMAT=xml"}, want: []string{"log.format", "xml", "json"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, c.args, c.environ)
			var usage *ops.UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("not a usage error: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestBytesPrintAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "1024": "1KiB", "1 GiB": "1GiB", "1025": "1025", "2TiB": "2TiB", "7B": "7"} {
		b, err := ops.ParseBytes(text)
		if err != nil || b.String() != want {
			t.Errorf("%s: %s, %v", text, b, err)
		}
	}
}
