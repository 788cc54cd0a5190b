package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// told are the series of a metric, as the values of their labels, and what they
// count.
func (s served) told(t testing.TB, name string) map[string]float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var values []string
			for _, label := range metric.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() == name {
				series[strings.Join(values, " ")] = metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return series
}

// An alert on an increase does not see the first value of a series.
func TestMetricsOfEveryRouteAreThereWithZeroBeforeTheFirstRequest(t *testing.T) {
	s := serve(t)
	requests, seconds := s.told(t, "loginaudit_web_requests_total"), s.told(t, "loginaudit_web_request_seconds")
	routes := []string{"/", "/sign-in"}
	for _, route := range s.accountRoutes() {
		routes = append(routes, "/api/v1/accounts/{account}"+route.path)
	}
	for _, route := range routes {
		for _, status := range []string{"200", "500", "503"} {
			if n, ok := requests["GET "+route+" "+status]; !ok || n != 0 {
				t.Errorf("GET %s %s: %v, there: %v", route, status, n, ok)
			}
		}
		if n, ok := seconds[route]; !ok || n != 0 {
			t.Errorf("time of %s: %v, there: %v", route, n, ok)
		}
	}
	before := len(requests)
	for _, route := range routes { // a request makes no series that differs in its route only
		s.get(strings.NewReplacer("{account}", "acme", "{username}", "ann", "{id}", "1").Replace(route))
	}
	for series := range s.told(t, "loginaudit_web_requests_total") {
		if _, ok := requests[series]; !ok && strings.HasSuffix(series, " 200") {
			t.Errorf("%s was not there before (of %d)", series, before)
		}
	}
}

func TestMetricsTellSignInsAndRefusedCredentials(t *testing.T) {
	s := serve(t)
	want := map[string]float64{"success": 0, "failure": 0}
	refused := 0.0
	check := func(after string) {
		t.Helper()
		for result, n := range want {
			if got := s.counted(t, "loginaudit_web_sign_ins_total", result); got != n {
				t.Errorf("%s: %v of result %s, want %v", after, got, result, n)
			}
		}
		if got := s.counted(t, "loginaudit_web_refused_credentials_total"); got != refused {
			t.Errorf("%s: %v refused, want %v", after, got, refused)
		}
	}
	if there := s.told(t, "loginaudit_web_sign_ins_total"); len(there) != len(want) {
		t.Errorf("sign-ins before the first: %v", there)
	}
	check("before the first")

	s.form("/sign-in", url.Values{"token": {"la_admin_guessed"}})
	want["failure"]++
	check("a guessed token on the page")
	res := s.form("/sign-in", url.Values{"token": {s.token.Secret()}})
	want["success"]++
	check("the token on the page")

	s.get(acme+"/users", "Authorization", "")
	check("no credentials")
	s.get(acme+"/users", "Authorization", "Bearer la_admin_guessed")
	refused++
	check("a guessed token for the API")
	s.get(acme + "/users")
	check("the token for the API")

	cookie := cookies(res)[0]
	s.form("/sign-out", nil, cookie)
	if w := s.get(acme+"/users", "Authorization", "", "Cookie", cookie.Name+"="+cookie.Value); w.Code != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d", w.Code)
	}
	refused++
	check("a page session that ended")
}
