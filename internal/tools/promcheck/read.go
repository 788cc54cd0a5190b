package main

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// config is the part of Prometheus's configuration that deploy/prometheus uses;
// anything else in it is an error.
type config struct {
	Global struct {
		ScrapeInterval     model.Duration    `yaml:"scrape_interval"`
		ScrapeTimeout      model.Duration    `yaml:"scrape_timeout"`
		EvaluationInterval model.Duration    `yaml:"evaluation_interval"`
		ExternalLabels     map[string]string `yaml:"external_labels"`
	} `yaml:"global"`
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string `yaml:"targets"`
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func readConfig(text string) (*config, error) {
	var c config
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	return &c, nil
}

// rule is an alert. For is in milliseconds.
type rule struct {
	Group, Alert        string
	For                 int64
	Labels, Annotations map[string]string
	Expression          expression
}

// expression is PromQL as it was understood.
type expression struct {
	Text      string
	Selectors []selector
	// Groupings are the labels by which something is grouped or matched.
	Groupings []string
}

// selector chooses series; Function is what is called on it directly.
type selector struct {
	Metric   string
	Matchers []matcher
	Function string
	// Range in milliseconds; 0 for an instant.
	Range int64
}

type matcher struct{ Label, Op, Value string }

func promQL() parser.Parser { return parser.NewParser(parser.Options{}) }

func readRules(text string) ([]rule, error) {
	groups, errs := rulefmt.Parse([]byte(text), false, model.UTF8Validation, promQL(), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	var all []rule
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.KeepFiringFor != 0 {
				return nil, errors.New("only alerts without keep_firing_for are understood")
			}
			e, err := read(r.Expr)
			if err != nil {
				return nil, err
			}
			all = append(all, rule{
				Group: g.Name, Alert: r.Alert, For: int64(r.For) / 1e6,
				Labels: r.Labels, Annotations: r.Annotations, Expression: e,
			})
		}
	}
	return all, nil
}

func read(text string) (expression, error) {
	tree, err := promQL().ParseExpr(text)
	if err != nil {
		return expression{}, err
	}
	e := expression{Text: text}
	parser.Inspect(tree, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			e.Selectors = append(e.Selectors, readSelector(n, path))
		case *parser.AggregateExpr:
			e.Groupings = append(e.Groupings, n.Grouping...)
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil {
				e.Groupings = append(e.Groupings, m.MatchingLabels...)
				e.Groupings = append(e.Groupings, m.Include...)
			}
		}
		return nil
	})
	return e, nil
}

func readSelector(n *parser.VectorSelector, path []parser.Node) selector {
	s := selector{Metric: n.Name}
	for _, m := range n.LabelMatchers {
		if m.Name != model.MetricNameLabel {
			s.Matchers = append(s.Matchers, matcher{m.Name, m.Type.String(), m.Value})
		}
	}
	for i := len(path) - 1; i >= 0; i-- {
		switch outer := path[i].(type) {
		case *parser.MatrixSelector:
			s.Range = outer.Range.Milliseconds()
			continue
		case *parser.Call:
			s.Function = outer.Func.Name
		}
		break
	}
	return s
}
