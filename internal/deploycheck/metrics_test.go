package deploycheck

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// What deploy/ and the docs say of metrics holds of a real process, and what the
// alerts do is tried on what it tells.
func TestMetricsOfARunningSystem(t *testing.T) {
	check := newPromCheck(t)
	cert, key := testsystem.Certificate(t)
	system := testsystem.Serve(t, "loginaudit", filepath.Join(t.TempDir(), "data"), "--engine-memory", "1GiB",
		"--nats-tls-cert", cert, "--nats-tls-key", key)
	var told scraped
	system.Until(t, "the stream is measured", func() error {
		told = scraped{}
		told.scrape(t, "loginaudit-serve", system.Addresses.Admin)
		if age := told.of(in + "stream_max_age_seconds"); len(age) != 1 || age[0].value == "0" {
			return fmt.Errorf("the stream keeps messages for %v", age)
		}
		return nil
	})
	t.Run("every metric, label and value that the alerts name is told", func(t *testing.T) {
		for _, r := range check.rules(t) {
			for _, wrong := range told.wrong(r.Expression) {
				t.Errorf("%s: %s", r.Alert, wrong)
			}
		}
	})
	t.Run("every metric, label and value that the dashboard names is told", func(t *testing.T) {
		for _, e := range check.dashboard(t) {
			for _, wrong := range told.wrong(e) {
				t.Errorf("%s: %s", e.Text, wrong)
			}
		}
	})
	t.Run("what is not told is found", func(t *testing.T) { wrongNamesAreFound(t, check, told) })
	t.Run("the docs explain every metric, and no other", func(t *testing.T) { docsExplainMetrics(t, told) })
	t.Run("metrics have the form that Prometheus advises", func(t *testing.T) { metricsAreWellNamed(t, told) })
	t.Run("no alert but the sign of life fires while all is well", func(t *testing.T) { onlyWatchdogFires(t, check, told) })
	t.Run("every alert fires in time, and ends", func(t *testing.T) { everyAlertFires(t, check, told) })
	t.Run("a message that is parked raises its alert", func(t *testing.T) { parkedIsTold(t, check, system, cert) })
	system.Stop(t)
}

// wrongNamesAreFound: a check that finds nothing wrong must be able to.
func wrongNamesAreFound(t *testing.T, check promCheck, told scraped) {
	for expr, want := range map[string]string{
		`loginaudit_ingest_lag_secs > 30`:                         "no metric loginaudit_ingest_lag_secs",
		`rate(loginaudit_ingest_parked[5m])`:                      "no metric loginaudit_ingest_parked",
		`loginaudit_ingest_insert_errors_total{kind="stop"}`:      "has no label kind",
		`loginaudit_ingest_insert_errors_total{class="halt"}`:     `has class=halt`,
		`loginaudit_ingest_insert_errors_total{class=~"ret|unk"}`: `has class=~ret|unk`,
		`up{job="ingest"}`: `has job=ingest`,
		`sum by (cause) (loginaudit_ingest_parked_total)`:                   "nothing has the label cause",
		`rate(loginaudit_ingest_lag_seconds[5m])`:                           "which is a gauge",
		`up / on (instance, shard) loginaudit_ready`:                        "nothing has the label shard",
		`increase(loginaudit_ingest_batch_messages[5m])`:                    "no metric loginaudit_ingest_batch_messages",
		`rate(loginaudit_ingest_parked_total[5m])`:                          "",
		`histogram_quantile(0.5, loginaudit_web_request_seconds_bucket)`:    "",
		`increase(loginaudit_ingest_insert_seconds_count{result!="x"}[1m])`: "",
	} {
		wrong := strings.Join(told.wrong(check.ask(t, promRequest{Expressions: []string{expr}}).Expressions[0]), "; ")
		if want == "" && wrong != "" || !strings.Contains(wrong, want) {
			t.Errorf("%s: found %q, want %q", expr, wrong, want)
		}
	}
	if _, complaint := check.try(t, promRequest{Expressions: []string{"rate(up)"}}); !strings.Contains(complaint, "expected type range vector") {
		t.Errorf("an expression that Prometheus refuses: %q", complaint)
	}
	broken := strings.Replace(projectFile(t, alertsFile), "$labels.reason", "$label.reason", 1)
	if _, complaint := check.try(t, promRequest{Rules: broken}); !strings.Contains(complaint, "undefined variable") {
		t.Errorf("a rule that Prometheus refuses: %q", complaint)
	}
}

// docsExplainMetrics compares the table of docs/operations.md with a process
// that tells all metrics that there are.
func docsExplainMetrics(t *testing.T, told scraped) {
	documented := documentedMetrics(t)
	used := map[string]bool{}
	for _, name := range told.ours() {
		row := rowOf(documented, name)
		if row == "" {
			t.Errorf("docs/operations.md does not tell what %s means", name)
		}
		used[row] = true
	}
	for row := range maps.Keys(documented) {
		if !used[row] {
			t.Errorf("docs/operations.md tells of %s, which no process does", row)
		}
	}
}

// rowOf is the row of the table for a metric: its name, or a beginning of it and
// a star; "" where there is none.
func rowOf(documented map[string]bool, name string) string {
	if documented[name] {
		return name
	}
	for row := range documented {
		if start, ok := strings.CutSuffix(row, "*"); ok && strings.HasPrefix(name, start) {
			return row
		}
	}
	return ""
}

// metricsAreWellNamed: base units, _total at counters and nowhere else, and no
// label whose values are not a closed set.
func metricsAreWellNamed(t *testing.T, told scraped) {
	form := regexp.MustCompile(`^loginaudit_[a-z]+(_[a-z0-9]+)*$`)
	foreign := regexp.MustCompile(`_(ms|millis\w*|micros\w*|minutes|hours|kb|mb|mib|gib|percent)(_|$)`)
	known := []string{
		"job", "instance", "le", "quantile", "result", "reason", "class", "stage", "check", "stream", "listener",
		"method", "route", "status", "component", "version", "commit", "format",
	}
	for _, name := range told.ours() {
		if !form.MatchString(name) || foreign.MatchString(name) || strings.HasSuffix(name, "_total") != (told.types[name] == "counter") {
			t.Errorf("%s is the name of a %s", name, told.types[name])
		}
		for _, one := range slices.Concat(told.of(name), told.of(name+"_count")) {
			for label := range maps.Keys(one.labels) {
				if !slices.Contains(known, label) {
					t.Errorf("%s has the label %s, whose values nobody has bounded", name, label)
				}
			}
		}
	}
}

// parkedIsTold has the real worker park a message, and gives what it told before
// and after to the rules.
func parkedIsTold(t *testing.T, check promCheck, system *testsystem.System, authority string) {
	var before, after scraped
	before.scrape(t, "loginaudit-serve", system.Addresses.Admin)
	nc, err := nats.Connect("tls://"+system.Addresses.NATS, nats.RootCAs(authority))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	publishPlain(t, jetStream(t, nc), "no event")
	system.Until(t, "the message is parked", func() error {
		after = scraped{}
		after.scrape(t, "loginaudit-serve", system.Addresses.Admin)
		for _, one := range after.of(in + "parked_total") {
			if one.labels["reason"] == "not_json" && one.value == "1" {
				return nil
			}
		}
		return fmt.Errorf("%v", after.of(in+"parked_total"))
	})
	own := slices.DeleteFunc(check.rules(t), func(r promRule) bool { return r.Alert != "LoginauditParked" })
	series := before.story(own, nil, storyBegin)
	later := after.story(own, nil, storyBegin)
	for i := range series { // the same series, in the same order
		half := len(series[i].Values) / 2
		series[i].Values = append(series[i].Values[:half:half], later[i].Values[half:]...)
	}
	firings := check.run(t, series, storyBegin, "LoginauditParked")
	if len(firings) != 1 || firings[0].Labels["reason"] != "not_json" || !strings.Contains(firings[0].Annotations["summary"], "not_json") {
		t.Errorf("fired: %+v", firings)
	}
}
