package deploycheck

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const dashboardFile = "deploy/grafana/dashboards/loginaudit.json"

// dashboard is the part of a dashboard that the tests look at.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
	Annotations   struct{ List []struct{ Expr string } }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               dataSource
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Options                  struct{ YAxis struct{ Unit string } }
	Targets                  []target
}

type target struct {
	RefID        string `json:"refId"`
	Datasource   dataSource
	Expr         string
	LegendFormat string
}

type dataSource struct{ Type, UID string }

type variable struct {
	Name, Type, Definition string
	Datasource             dataSource
}

func readDashboard(t testing.TB) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(projectFile(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// inGrafana puts values where Grafana does.
func inGrafana(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*").Replace(expr)
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// dashboard is all that the dashboard asks of Prometheus, as promcheck reads it. A label in a legend counts as a grouping: it must be there.
func (p promCheck) dashboard(t testing.TB) []promExpression {
	t.Helper()
	var texts []string
	var legends [][]string
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			var labels []string
			for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
				labels = append(labels, m[1])
			}
			texts, legends = append(texts, inGrafana(target.Expr)), append(legends, labels)
		}
	}
	read := p.ask(t, promRequest{Expressions: texts}).Expressions
	for i := range read {
		read[i].Groupings = append(read[i].Groupings, legends[i]...)
	}
	return read
}

var ownDataSource = dataSource{"prometheus", "${datasource}"}

func TestDashboardPanelsAreExplainedAndAskTheChosenDataSource(t *testing.T) {
	ids := map[int]string{}
	for _, p := range readDashboard(t).Panels {
		if other, taken := ids[p.ID]; taken || p.ID == 0 {
			t.Errorf("%q has the id %d of %q", p.Title, p.ID, other)
		}
		ids[p.ID] = p.Title
		if p.Title == "" || p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%d %q: place %+v", p.ID, p.Title, p.GridPos)
		}
		if p.Type == "row" {
			continue
		}
		if !strings.HasSuffix(p.Description, ".") || p.FieldConfig.Defaults.Unit == "" || p.Datasource != ownDataSource || len(p.Targets) == 0 {
			t.Errorf("%q: description %q, unit %q, data source %v, %d questions",
				p.Title, p.Description, p.FieldConfig.Defaults.Unit, p.Datasource, len(p.Targets))
		}
		if p.Type == "heatmap" && p.Options.YAxis.Unit == "" {
			t.Errorf("%q: its axis has no unit", p.Title)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Datasource != ownDataSource || refs[target.RefID] || len(p.Targets) > 1 && target.LegendFormat == "" {
				t.Errorf("%q %s: data source %v, legend %q", p.Title, target.RefID, target.Datasource, target.LegendFormat)
			}
			refs[target.RefID] = true
			chosen := strings.Count(target.Expr, `job=~"$job", instance=~"$instance"`)
			if metrics := len(regexp.MustCompile(`(loginaudit|process|go)_\w+`).FindAllString(target.Expr, -1)); chosen != metrics {
				t.Errorf("%q %s: %d of %d metrics heed the choice of job and instance: %s", p.Title, target.RefID, chosen, metrics, target.Expr)
			}
		}
	}
}

func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	taken := map[[2]int]string{}
	for _, p := range readDashboard(t).Panels {
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok {
					t.Fatalf("%q lies on %q", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
	}
}

func TestDashboardHasItsRowsAndVariables(t *testing.T) {
	d := readDashboard(t)
	var rows, variables []string
	for _, p := range d.Panels {
		if p.Type == "row" {
			rows = append(rows, p.Title)
		}
	}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" && v.Datasource != ownDataSource {
			t.Errorf("variable %s asks %v", v.Name, v.Datasource)
		}
	}
	if want := []string{"Pipeline", "Ingest", "Parked", "Stream", "Answers and ClickHouse", "Processes"}; !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
	if want := []string{"datasource", "job", "instance"}; !slices.Equal(variables, want) {
		t.Errorf("variables %v, want %v", variables, want)
	}
	check := newPromCheck(t)
	for _, a := range d.Annotations.List {
		check.ask(t, promRequest{Expressions: []string{a.Expr}}) // fails where Prometheus would
	}
	if d.UID != "loginaudit" || d.Title == "" || d.SchemaVersion == 0 {
		t.Errorf("uid %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
}

// Grafana reads the dashboard from where the compose file puts it, and knows the
// data source by the address of the service.
func TestDashboardIsProvisioned(t *testing.T) {
	project := monitoring(t)
	mounted := map[string]string{}
	for _, v := range project.Services["grafana"].Volumes {
		mounted[v.Target] = v.Source
	}
	provider := projectFile(t, "deploy/grafana/provisioning/dashboards/loginaudit.yml")
	if !strings.Contains(provider, "path: /etc/grafana/dashboards\n") || !strings.HasSuffix(mounted["/etc/grafana/dashboards"], "deploy/grafana/dashboards") {
		t.Errorf("dashboards: %s, mounted %v", provider, mounted)
	}
	if !strings.HasSuffix(mounted["/etc/grafana/provisioning"], "deploy/grafana/provisioning") {
		t.Errorf("mounted %v", mounted)
	}
	source := projectFile(t, "deploy/grafana/provisioning/datasources/prometheus.yml")
	if !strings.Contains(source, "url: http://prometheus:9090\n") || project.Services["prometheus"].Name == "" {
		t.Errorf("data source: %s", source)
	}
}
