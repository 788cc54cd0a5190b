package deploycheck

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scrapeEvery is the interval of deploy/prometheus, for scrapes and evaluations
// alike; see TestMonitoringScrapesTheAdminAddresses.
const scrapeEvery = 5 * time.Second

// The story of a scenario: all is well, a fault comes, it goes.
const (
	faultAt = 10 * time.Minute
	storyIs = 35 * time.Minute
)

// value is what a series says at a time since the fault came; the story begins
// before it, below 0. ok false: it says nothing, its target is gone.
type value func(since time.Duration, healthy float64) (v float64, ok bool)

// during is a gauge that has another value while the fault lasts.
func during(lasts time.Duration, v float64) value {
	return func(since time.Duration, healthy float64) (float64, bool) {
		if since > 0 && since <= lasts {
			return v, true
		}
		return healthy, true
	}
}

// since is a gauge that grows with the fault, like the age of something.
func since(lasts time.Duration) value {
	return func(since time.Duration, healthy float64) (float64, bool) {
		if since > 0 && since <= lasts {
			return since.Seconds(), true
		}
		return healthy, true
	}
}

// more is a counter that grows by n a scrape while the fault lasts, and by usual
// else.
func more(lasts time.Duration, n, usual float64) value {
	return func(since time.Duration, healthy float64) (float64, bool) {
		scrapes := float64(since / scrapeEvery)
		before := float64(faultAt / scrapeEvery)
		within := min(max(scrapes, 0), float64(lasts/scrapeEvery))
		return healthy + (before+scrapes-within)*usual + within*n, true
	}
}

// gone is a series whose target does not answer.
func gone(lasts time.Duration) value {
	return func(since time.Duration, healthy float64) (float64, bool) {
		return healthy, since <= 0 || since > lasts
	}
}

// stuck is a moment in Unix time that usually is now, and while the fault lasts
// stays what it was before.
func stuck(lasts time.Duration) value {
	return func(since time.Duration, now float64) (float64, bool) {
		if since > 0 && since <= lasts {
			return now - since.Seconds(), true
		}
		return now, true
	}
}

// restarts is a moment of a start that is another in every scrape.
func restarts(lasts time.Duration) value {
	return func(since time.Duration, healthy float64) (float64, bool) {
		return healthy + min(max(since, 0), lasts).Seconds(), true
	}
}

// fault is what some series say. The labels are those that the series have, and
// maybe others.
type fault struct {
	metric string
	labels map[string]string
	says   value
}

// scenario is a fault and the alert that it raises.
type scenario struct {
	alert, severity string
	faults          []fault
	lasts           time.Duration // of the fault
	fires           time.Duration // at most, after the fault came
	ends            time.Duration // at most, after the fault went
	labels          map[string]string
	// stops marks what stops the pipeline: it is told within 60 s of the fault,
	// the waiting for a scrape and an evaluation included.
	stops bool
}

const (
	toldWithin = time.Minute
	window     = 5*time.Minute + scrapeEvery // of what counts failures
)

func one(metric string, says value, labels ...string) []fault {
	f := fault{metric: metric, says: says, labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		f.labels[labels[i]] = labels[i+1]
	}
	return []fault{f}
}

const in = "loginaudit_ingest_"

// scenarios has one for each alert and severity, Watchdog aside.
func scenarios() []scenario {
	const m = time.Minute
	return slices.Concat(pipelineScenarios(), []scenario{
		{alert: "LoginauditEventsExpired", severity: "critical", lasts: m, fires: 5 * time.Second, ends: 5 * time.Second,
			faults: one(in+"expired_messages", during(m, 7))},
		{alert: "LoginauditGaps", severity: "critical", lasts: m, fires: 5 * time.Second, ends: 5 * time.Second,
			faults: one(in+"gaps_found_total", during(m, 1), "reason", "deleted"), labels: map[string]string{"reason": "deleted"}},
		{alert: "LoginauditLagNearRetention", severity: "critical", lasts: m, fires: 40 * time.Second, ends: 5 * time.Second,
			faults: one(in+"lag_seconds", during(m, 8*24*3600))},
		{alert: "LoginauditParked", severity: "warning", lasts: 5 * time.Second, fires: 5 * time.Second, ends: window,
			faults: one(in+"parked_total", more(5*time.Second, 1, 0), "reason", "not_json"), labels: map[string]string{"reason": "not_json"}},
		{alert: "LoginauditPublishersSilent", severity: "info", lasts: 10 * m, fires: 6 * m, ends: 5 * time.Second,
			faults: one(in+"stream_last_message_timestamp_seconds", func(since time.Duration, now float64) (float64, bool) {
				if since > 0 && since <= 10*m {
					return now - 3601, true
				}
				return now, true
			})},
		{alert: "LoginauditStreamFilling", severity: "warning", lasts: 2 * m, fires: 70 * time.Second, ends: 5 * time.Second,
			faults: append(one(in+"stream_bytes", during(2*m, 75)), one(in+"stream_max_bytes", during(2*m, 100))...)},
		{alert: "LoginauditStreamFilling", severity: "critical", lasts: 2 * m, fires: 70 * time.Second, ends: 5 * time.Second,
			faults: append(one(in+"stream_bytes", during(2*m, 86)), one(in+"stream_max_bytes", during(2*m, 100))...)},
		{alert: "LoginauditStoreFilling", severity: "warning", lasts: 2 * m, fires: 70 * time.Second, ends: 5 * time.Second,
			faults: append(one("loginaudit_engine_nats_store_bytes", during(2*m, 75)), one("loginaudit_engine_nats_store_max_bytes", during(2*m, 100))...)},
		{alert: "LoginauditStoreFilling", severity: "critical", lasts: 2 * m, fires: 70 * time.Second, ends: 5 * time.Second,
			faults: append(one("loginaudit_engine_nats_store_bytes", during(2*m, 90)), one("loginaudit_engine_nats_store_max_bytes", during(2*m, 100))...)},
		{alert: "LoginauditDiskFilling", severity: "warning", lasts: 2 * m, fires: 70 * time.Second, ends: 5 * time.Second,
			faults: append(one("loginaudit_data_disk_free_bytes", during(2*m, 25)), one("loginaudit_data_disk_size_bytes", during(2*m, 100))...)},
		{alert: "LoginauditDiskFilling", severity: "critical", lasts: 2 * m, fires: 70 * time.Second, ends: 5 * time.Second,
			faults: append(one("loginaudit_data_disk_free_bytes", during(2*m, 10)), one("loginaudit_data_disk_size_bytes", during(2*m, 100))...)},
		{alert: "LoginauditEngineRestarted", severity: "warning", lasts: 5 * time.Second, fires: 5 * time.Second, ends: 2 * window,
			faults: one("loginaudit_engine_clickhouse_restarts_total", more(5*time.Second, 1, 0))},
		{alert: "LoginauditQuestionsFail", severity: "warning", lasts: m, fires: 40 * time.Second, ends: window,
			faults: append(one("loginaudit_web_requests_total", more(m, 1, 0), "status", "503", "route", "/api/v1/accounts/{account}/users", "method", "GET"),
				one("loginaudit_web_requests_total", more(m, 10, 10), "status", "200", "route", "/api/v1/accounts/{account}/users", "method", "GET")...)},
		{alert: "LoginauditPanics", severity: "warning", lasts: 5 * time.Second, fires: 5 * time.Second, ends: 3 * window,
			faults: one("loginaudit_web_panics_total", more(5*time.Second, 1, 0))},
		{alert: "LoginauditQuestionsSlow", severity: "warning", lasts: 9 * m, fires: 6 * m, ends: 6 * m,
			faults: slow("loginaudit_web_request_seconds_bucket", 9*m, 5, "route", "/api/v1/accounts/{account}/users"),
			labels: map[string]string{"route": "/api/v1/accounts/{account}/users"}},
		{alert: "LoginauditSignInsRefused", severity: "warning", lasts: m, fires: m, ends: window,
			faults: append(one("loginaudit_web_sign_ins_total", more(m, 2, 0), "result", "failure"),
				one("loginaudit_web_refused_credentials_total", more(m, 2, 0))...)},
		{alert: "LoginauditCertificateExpires", severity: "warning", lasts: m, fires: 5 * time.Second, ends: 5 * time.Second,
			faults: expires(m, 20*24*time.Hour), labels: map[string]string{"listener": "nats"}},
		{alert: "LoginauditCertificateExpires", severity: "critical", lasts: m, fires: 5 * time.Second, ends: 5 * time.Second,
			faults: expires(m, 48*time.Hour), labels: map[string]string{"listener": "nats"}},
	})
}

func pipelineScenarios() []scenario {
	const m = time.Minute
	return []scenario{
		{alert: "LoginauditParkingFails", severity: "critical", lasts: 5 * time.Second, fires: 5 * time.Second, ends: window, stops: true,
			faults: one(in+"park_failures_total", more(5*time.Second, 1, 0))},
		{alert: "LoginauditInsertsStop", severity: "critical", lasts: 5 * time.Second, fires: 5 * time.Second, ends: window, stops: true,
			faults: one(in+"insert_errors_total", more(5*time.Second, 1, 0), "class", "stop")},
		{alert: "LoginauditSchemaDiffers", severity: "critical", lasts: 3 * m, fires: 5 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one(in+"schema_differences", during(3*m, 2))},
		{alert: "LoginauditIngestAbsent", severity: "critical", lasts: 3 * m, fires: 40 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one(in+"lag_seconds", gone(3*m))},
		{alert: "LoginauditQueryAbsent", severity: "critical", lasts: 3 * m, fires: 40 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one("loginaudit_web_requests_in_flight", gone(3*m))},
		{alert: "LoginauditTargetDown", severity: "warning", lasts: 3 * m, fires: 40 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one("up", during(3*m, 0))},
		{alert: "LoginauditNotReady", severity: "critical", lasts: 3 * m, fires: 40 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one("loginaudit_ready_check", during(3*m, 0), "check", "clickhouse writer"), labels: map[string]string{"check": "clickhouse writer"}},
		{alert: "LoginauditRestarting", severity: "critical", lasts: 15 * time.Second, fires: 20 * time.Second, ends: 15*m + scrapeEvery, stops: true,
			faults: one("process_start_time_seconds", restarts(15*time.Second))},
		{alert: "LoginauditWatermarkStalled", severity: "critical", lasts: 3 * m, fires: 50 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one(in+"watermark_last_success_timestamp_seconds", stuck(3*m))},
		{alert: "LoginauditLag", severity: "warning", lasts: 3 * m, fires: 50 * time.Second, ends: 5 * time.Second, stops: true,
			faults: one(in+"lag_seconds", since(3*m))},
		{alert: "LoginauditLag", severity: "critical", lasts: 8 * m, fires: 6 * m, ends: 5 * time.Second,
			faults: one(in+"lag_seconds", since(8*m))},
		{alert: "LoginauditBacklog", severity: "warning", lasts: 8 * m, fires: 6 * m, ends: 5 * time.Second,
			faults: one(in+"lag_messages", during(8*m, 150_000))},
		{alert: "LoginauditInsertsFail", severity: "warning", lasts: m, fires: 15 * time.Second, ends: window, stops: true,
			faults: one(in+"insert_errors_total", more(m, 1, 0), "class", "retry"), labels: map[string]string{"class": "retry"}},
		{alert: "LoginauditFetchFails", severity: "warning", lasts: m, fires: 15 * time.Second, ends: window, stops: true,
			faults: one(in+"fetch_errors_total", more(m, 1, 0))},
		{alert: "LoginauditRedeliveries", severity: "warning", lasts: 9 * m, fires: 8 * m, ends: window,
			faults: append(one(in+"redeliveries_total", more(9*m, 10, 0)), one(in+"events_total", more(9*m, 100, 100), "result", "stored")...)},
		{alert: "LoginauditAcknowledgementsFail", severity: "warning", lasts: m, fires: 30 * time.Second, ends: window,
			faults: one(in+"ack_failures_total", more(m, 3, 0))},
		{alert: "LoginauditCommitSlow", severity: "warning", lasts: 9 * m, fires: 7 * m, ends: 6 * m,
			faults: slow(in+"receive_to_commit_seconds_bucket", 9*m, 10)},
	}
}

// slow has every observation of a histogram above a bound while the fault lasts,
// and below its first else.
func slow(metric string, lasts time.Duration, above float64, labels ...string) (all []fault) {
	of := one(metric, nil, labels...)[0].labels
	for _, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.2", "0.25", "0.3", "0.5", "0.75", "1", "2", "2.5", "5",
		"10", "30", "60", "300", "1800", "7200", "86400", "+Inf"} {
		within := 10.0
		if bound, err := strconv.ParseFloat(le, 64); err == nil && bound <= above {
			within = 0
		}
		all = append(all, fault{metric, mapWith(of, "le", le), more(lasts, within, 10)})
	}
	return all
}

func mapWith(m map[string]string, name, value string) map[string]string {
	m = maps.Clone(m)
	m[name] = value
	return m
}

// expires is a certificate that has only so long to live while the fault lasts.
func expires(lasts, left time.Duration) []fault {
	return one("loginaudit_tls_certificate_expiry_timestamp_seconds", func(since time.Duration, healthy float64) (float64, bool) {
		if since > 0 && since <= lasts {
			return float64(storyBegin.Add(faultAt + since + left).Unix()), true
		}
		return healthy, true
	}, "listener", "nats")
}

// healthy is what a series says when all is well: what was scraped, but the
// moments in it are always as long ago or ahead, and half of the disk is free,
// whatever this machine has.
func healthy(one sample, now time.Time) float64 {
	switch one.name {
	case in + "watermark_last_success_timestamp_seconds", in + "last_commit_timestamp_seconds", in + "stream_last_message_timestamp_seconds":
		return float64(now.Unix())
	case "loginaudit_tls_certificate_expiry_timestamp_seconds":
		return float64(now.Add(90 * 24 * time.Hour).Unix())
	case "loginaudit_data_disk_free_bytes":
		return 50
	case "loginaudit_data_disk_size_bytes":
		return 100
	case in + "lag_seconds":
		return 0
	}
	v, err := strconv.ParseFloat(one.value, 64)
	if err != nil {
		return 0
	}
	return v
}

// story makes series of the metrics that the rules of some alerts ask for: what
// was scraped, over and over, with the faults on top.
func (s scraped) story(rules []promRule, faults []fault, begin time.Time) []promSeries {
	wanted := map[string]bool{}
	for _, r := range rules {
		for _, selector := range r.Expression.Selectors {
			wanted[selector.Metric] = true
		}
	}
	var all []promSeries
	for _, one := range s.samples {
		if !wanted[one.name] {
			continue
		}
		says := value(func(_ time.Duration, healthy float64) (float64, bool) { return healthy, true })
		for _, f := range faults {
			if f.metric == one.name && includes(one.labels, f.labels) {
				says = f.says
			}
		}
		series := promSeries{Labels: mapWith(one.labels, "__name__", one.name)}
		for at := time.Duration(0); at <= storyIs; at += scrapeEvery {
			now := begin.Add(at)
			text := "" // no value: the target is gone
			if v, ok := says(at-faultAt, healthy(one, now)); ok {
				text = strconv.FormatFloat(v, 'g', -1, 64)
			}
			series.Times, series.Values = append(series.Times, now.UnixMilli()), append(series.Values, text)
		}
		all = append(all, series)
	}
	return all
}

func includes(labels, part map[string]string) bool {
	for name, value := range part {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// run lets a story pass and returns what fired.
func (p promCheck) run(t testing.TB, series []promSeries, begin time.Time, alerts ...string) []promFiring {
	t.Helper()
	return p.ask(t, promRequest{
		Rules: projectFile(t, alertsFile), Series: series, Alerts: alerts,
		Start: begin.UnixMilli(), End: begin.Add(storyIs).UnixMilli(), Step: scrapeEvery.Milliseconds(),
	}).Firings
}

// storyBegin is the time of the stories: any, but always the same.
var storyBegin = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// everyAlertFires plays each scenario on the series of a real process.
func everyAlertFires(t *testing.T, check promCheck, told scraped) {
	rules := check.rules(t)
	played := map[string]bool{"LoginauditWatchdog none": true}
	for _, s := range scenarios() {
		name := s.alert + " " + s.severity
		played[name] = true
		own := slices.Clone(rules)
		own = slices.DeleteFunc(own, func(r promRule) bool { return r.Alert != s.alert })
		if len(own) == 0 {
			t.Errorf("%s: there is no such alert", name)
			continue
		}
		for _, f := range s.faults {
			if len(told.of(f.metric)) == 0 {
				t.Fatalf("%s: nobody tells %s", name, f.metric)
			}
		}
		firings := check.run(t, told.story(own, s.faults, storyBegin), storyBegin, s.alert)
		firings = slices.DeleteFunc(firings, func(f promFiring) bool { return f.Labels["severity"] != s.severity })
		if len(firings) != 1 {
			t.Errorf("%s: fired %d times: %+v", name, len(firings), firings)
			continue
		}
		for _, problem := range s.judge(firings[0]) {
			t.Errorf("%s: %s", name, problem)
		}
	}
	for _, r := range rules {
		if name := r.Alert + " " + r.Labels["severity"]; !played[name] {
			t.Errorf("%s has no scenario", name)
		}
	}
}

// judge compares when an alert came and went, and what it said.
func (s scenario) judge(f promFiring) (problems []string) {
	came := time.UnixMilli(f.Fired).Sub(storyBegin) - faultAt
	if came <= 0 || came > s.fires {
		problems = append(problems, fmt.Sprintf("fired %v after the fault, want at most %v", came, s.fires))
	}
	if s.stops && came+2*scrapeEvery > toldWithin {
		problems = append(problems, fmt.Sprintf("is told %v after the fault, want %v", came+2*scrapeEvery, toldWithin))
	}
	went := time.UnixMilli(f.Recovered).Sub(storyBegin) - faultAt - s.lasts
	if f.Recovered == 0 || went > s.ends {
		problems = append(problems, fmt.Sprintf("ended %v after the fault, want at most %v", went, s.ends))
	}
	for name, want := range s.labels {
		if f.Labels[name] != want {
			problems = append(problems, fmt.Sprintf("label %s is %q, want %q", name, f.Labels[name], want))
		}
	}
	for name, text := range f.Annotations {
		if text == "" || strings.Contains(text, "<no value>") || strings.Contains(text, "NaN") {
			problems = append(problems, fmt.Sprintf("%s says %q", name, text))
		}
	}
	return problems
}

// onlyWatchdogFires plays what was scraped, without any fault.
func onlyWatchdogFires(t *testing.T, check promCheck, told scraped) {
	t.Helper()
	var fired []string
	for _, f := range check.run(t, told.story(check.rules(t), nil, storyBegin), storyBegin) {
		fired = append(fired, f.Alert+" "+fmt.Sprint(f.Labels))
	}
	if len(fired) != 1 || !strings.HasPrefix(fired[0], "LoginauditWatchdog ") {
		t.Errorf("while all is well, these fire: %v", fired)
	}
}

var alertRow = regexp.MustCompile(`(?m)^\| <a id="(\w+)"></a>` + "`(\\w+)`" + ` \| ([a-z, ]+) \| (.+) \| (.+) \|$`)

// Every alert says how grave it is, what happened and where to read on, and the
// page has what it means and what to do.
func TestAlertsAreExplained(t *testing.T) {
	rules := newPromCheck(t).rules(t)
	severities := map[string][]string{}
	for _, r := range rules {
		severities[r.Alert] = append(severities[r.Alert], r.Labels["severity"])
		link := "https://github.com/loginaudit/loginaudit/blob/main/docs/operations.md#" + strings.ToLower(r.Alert)
		if !strings.HasPrefix(r.Alert, "Loginaudit") || !slices.Contains([]string{"critical", "warning", "info", "none"}, r.Labels["severity"]) ||
			len(r.Labels) != 1 || r.Annotations["summary"] == "" || !strings.HasSuffix(strings.TrimSpace(r.Annotations["description"]), ".") ||
			r.Annotations["runbook_url"] != link || len(r.Annotations) != 3 {
			t.Errorf("%s: labels %v, annotations %v", r.Alert, r.Labels, r.Annotations)
		}
	}
	explained := map[string]bool{}
	for _, row := range alertRow.FindAllStringSubmatch(projectFile(t, "docs/operations.md"), -1) {
		id, name, severity := row[1], row[2], row[3]
		explained[name] = true
		if id != strings.ToLower(name) || severity != strings.Join(severities[name], ", ") {
			t.Errorf("docs/operations.md: %s has the id %s and the severity %s, want %v", name, id, severity, severities[name])
		}
	}
	for name := range severities {
		if !explained[name] {
			t.Errorf("docs/operations.md does not tell what %s means", name)
		}
	}
}
