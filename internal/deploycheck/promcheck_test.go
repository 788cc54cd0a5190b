package deploycheck

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// promCheck is internal/tools/promcheck: the parser and the engine of
// Prometheus, the very ones of the image in deploy/compose.monitoring.yml.
type promCheck string

// The questions to promcheck and its answers, as it documents them.
type (
	promRequest struct {
		Config, Rules    string       `json:",omitempty"`
		Expressions      []string     `json:",omitempty"`
		Series           []promSeries `json:",omitempty"`
		Alerts           []string     `json:",omitempty"`
		Start, End, Step int64        `json:",omitempty"`
	}
	promAnswer struct {
		Config      promConfig
		Rules       []promRule
		Expressions []promExpression
		Firings     []promFiring
	}
	promConfig struct {
		Global struct {
			ScrapeInterval, EvaluationInterval string
		}
		RuleFiles     []string
		ScrapeConfigs []struct {
			JobName       string
			StaticConfigs []struct{ Targets []string }
		}
	}
	promRule struct {
		Group, Alert        string
		For                 int64
		Labels, Annotations map[string]string
		Expression          promExpression
	}
	promExpression struct {
		Text      string
		Selectors []promSelector
		Groupings []string
	}
	promSelector struct {
		Metric, Function string
		Matchers         []promMatcher
		Range            int64
	}
	promMatcher struct{ Label, Op, Value string }
	promSeries  struct {
		Labels map[string]string
		Times  []int64
		Values []string
	}
	promFiring struct {
		Alert                    string
		Labels, Annotations      map[string]string
		Active, Fired, Recovered int64
	}
)

func newPromCheck(t testing.TB) promCheck {
	t.Helper()
	program := filepath.Join(t.TempDir(), "promcheck")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join(testsystem.Root(t), "internal", "tools", "promcheck")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if r := testsystem.Run(t, build); r.Status != 0 {
		t.Fatalf("go build: %+v", r)
	}
	return promCheck(program)
}

// try asks, and returns what it complains of.
func (p promCheck) try(t testing.TB, request promRequest) (answer promAnswer, complaint string) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(string(p))
	cmd.Stdin = bytes.NewReader(text)
	r := testsystem.Run(t, cmd)
	if r.Status != 0 {
		return answer, r.Err
	}
	if err := json.Unmarshal([]byte(r.Out), &answer); err != nil {
		t.Fatal(err)
	}
	return answer, ""
}

func (p promCheck) ask(t testing.TB, request promRequest) promAnswer {
	t.Helper()
	answer, complaint := p.try(t, request)
	if complaint != "" {
		t.Fatal(complaint)
	}
	return answer
}

// rules are the alerts of deploy/prometheus.
func (p promCheck) rules(t testing.TB) []promRule {
	t.Helper()
	return p.ask(t, promRequest{Rules: projectFile(t, alertsFile)}).Rules
}

const alertsFile = "deploy/prometheus/alerts.yml"

// sample is one line of a scrape.
type sample struct {
	name   string
	labels map[string]string
	value  string
}

// scraped are the metrics that processes told, with the labels that Prometheus
// adds: job and instance.
type scraped struct {
	samples []sample
	types   map[string]string // by metric, without _bucket and the like
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	sampleText = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)=("(?:[^"\\]|\\.)*")`)
)

// scrape asks an admin address, as the job of the configuration does.
func (s *scraped) scrape(t testing.TB, job, admin string) {
	t.Helper()
	status, text, err := testsystem.Fetch(t.Context(), "http://"+admin+"/metrics", "")
	if err != nil || status != 200 {
		t.Fatalf("scrape %s: %d, %v", job, status, err)
	}
	if s.types == nil {
		s.types = map[string]string{}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			s.types[name] = kind
		}
		if line == "" || line[0] == '#' {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("scrape %s: %q", job, line)
		}
		one := sample{m[1], map[string]string{"job": job, "instance": admin}, m[3]}
		for _, pair := range sampleText.FindAllStringSubmatch(m[2], -1) {
			value, err := strconv.Unquote(pair[2])
			if err != nil {
				t.Fatalf("scrape %s: %q: %v", job, line, err)
			}
			one.labels[pair[1]] = value
		}
		s.samples = append(s.samples, one)
	}
	// Prometheus adds whether it could scrape.
	s.types["up"] = "gauge"
	s.samples = append(s.samples, sample{"up", map[string]string{"job": job, "instance": admin}, "1"})
}

// of are the series of a metric.
func (s scraped) of(name string) []sample {
	var found []sample
	for _, one := range s.samples {
		if one.name == name {
			found = append(found, one)
		}
	}
	return found
}

// ours are the names of loginaudit's own metrics.
func (s scraped) ours() []string {
	var names []string
	for name := range s.types {
		if strings.HasPrefix(name, "loginaudit_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// countersOnly are the functions that make sense of counters only.
var countersOnly = []string{"rate", "increase", "irate", "resets"}

// wrong is what an expression names that nobody tells.
func (s scraped) wrong(e promExpression) []string {
	var wrong []string
	labels := map[string]bool{"job": true, "instance": true}
	for _, selector := range e.Selectors {
		all := s.of(selector.Metric)
		if len(all) == 0 {
			wrong = append(wrong, "no metric "+selector.Metric)
			continue
		}
		for _, one := range all {
			for label := range maps.Keys(one.labels) {
				labels[label] = true
			}
		}
		if slices.Contains(countersOnly, selector.Function) && !s.counts(selector.Metric) {
			wrong = append(wrong, selector.Function+" of "+selector.Metric+", which is a "+s.types[selector.Metric])
		}
		for _, m := range selector.Matchers {
			wrong = append(wrong, matches(all, selector.Metric, m)...)
		}
	}
	for _, label := range e.Groupings {
		if !labels[label] {
			wrong = append(wrong, "nothing has the label "+label)
		}
	}
	return wrong
}

// counts tells whether a series only grows.
func (s scraped) counts(name string) bool {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && (s.types[base] == "histogram" || s.types[base] == "summary") {
			return true
		}
	}
	return s.types[name] == "counter"
}

// matches says what is wrong with a matcher: a label that the metric has not, or
// a value that no series has.
func matches(all []sample, metric string, m promMatcher) []string {
	label, value := false, false
	pattern, err := regexp.Compile("^(?:" + m.Value + ")$")
	if err != nil {
		return []string{err.Error()}
	}
	for _, one := range all {
		got, has := one.labels[m.Label]
		label = label || has
		value = value || strings.HasPrefix(m.Op, "!") || m.Op == "=" && got == m.Value || m.Op == "=~" && pattern.MatchString(got)
	}
	switch {
	case !label:
		return []string{metric + " has no label " + m.Label}
	case !value:
		return []string{"no " + metric + " has " + m.Label + m.Op + m.Value}
	}
	return nil
}
