package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/util/annotations"
)

// series are samples of one series, in the order of time (milliseconds, Unix
// time). A value is written as in a scrape; an empty one ends the series, as when
// its target is gone.
type series struct {
	Labels map[string]string
	Times  []int64
	Values []string
}

func number(text string) (float64, error) {
	if text == "" {
		return math.Float64frombits(value.StaleNaN), nil
	}
	return strconv.ParseFloat(text, 64)
}

// firing is an alert that fired: with its labels and annotations as they were
// then, from when the expression held, the alert fired, and neither any more (0:
// not until the end).
type firing struct {
	Alert                    string
	Labels, Annotations      map[string]string
	Active, Fired, Recovered int64
}

// memory holds samples for the engine, by the name of their metric.
type memory map[string][]promql.Series

func remember(all []series) (memory, error) {
	m := memory{}
	for _, s := range all {
		kept := promql.Series{Metric: labels.FromMap(s.Labels)}
		if len(s.Times) != len(s.Values) {
			return nil, fmt.Errorf("series %s has %d times and %d values", kept.Metric, len(s.Times), len(s.Values))
		}
		for i, text := range s.Values {
			v, err := number(text)
			if err != nil {
				return nil, fmt.Errorf("series %s: %w", kept.Metric, err)
			}
			kept.Floats = append(kept.Floats, promql.FPoint{T: s.Times[i], F: v})
		}
		name := kept.Metric.Get(model.MetricNameLabel)
		m[name] = append(m[name], kept)
	}
	return m, nil
}

// Querier implements storage.Queryable.
func (m memory) Querier(from, to int64) (storage.Querier, error) {
	q := storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var found []storage.Series
		for _, s := range m[nameIn(matchers)] {
			matches := !slices.ContainsFunc(matchers, func(x *labels.Matcher) bool { return !x.Matches(s.Metric.Get(x.Name)) })
			if !matches {
				continue
			}
			part := promql.Series{Metric: s.Metric}
			for _, p := range s.Floats {
				if p.T >= from && p.T <= to {
					part.Floats = append(part.Floats, p)
				}
			}
			if len(part.Floats) > 0 {
				found = append(found, promql.NewStorageSeries(part))
			}
		}
		return &set{all: found, at: -1}
	}}
	return &q, nil
}

// nameIn is the metric that is asked for. Every selector of ours names one.
func nameIn(matchers []*labels.Matcher) string {
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// set implements storage.SeriesSet.
type set struct {
	all []storage.Series
	at  int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.all) }
func (s *set) At() storage.Series                { return s.all[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// evaluate runs the rules as Prometheus does: each expression at each step; a
// result that stays for the rule's time fires.
func evaluate(rules []rule, asked request) ([]firing, error) {
	samples, err := remember(asked.Series)
	if err != nil {
		return nil, err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promQL(),
	})
	defer engine.Close()
	var fired []firing
	for _, r := range rules {
		if len(asked.Alerts) > 0 && !slices.Contains(asked.Alerts, r.Alert) {
			continue
		}
		watched := watch{rule: r, active: map[uint64]*firing{}}
		for at := asked.Start; at <= asked.End; at += asked.Step {
			result, err := ask(engine, samples, r.Expression.Text, at)
			if err == nil {
				err = watched.step(result, at)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Alert, err)
			}
		}
		fired = append(fired, watched.end()...)
	}
	slices.SortFunc(fired, func(a, b firing) int {
		return cmp.Or(cmp.Compare(a.Fired, b.Fired), cmp.Compare(a.Alert, b.Alert),
			cmp.Compare(labels.FromMap(a.Labels).String(), labels.FromMap(b.Labels).String()))
	})
	return fired, nil
}

// watch follows one rule: active is what holds now, over those that fired and
// no longer hold.
type watch struct {
	rule   rule
	active map[uint64]*firing
	over   []firing
}

func (w *watch) step(result promql.Vector, at int64) (err error) {
	holds := map[uint64]bool{}
	for _, sample := range result {
		id := sample.Metric.Hash()
		holds[id] = true
		if w.active[id] == nil {
			w.active[id] = &firing{Alert: w.rule.Alert, Active: at}
		}
		if f := w.active[id]; f.Fired == 0 && at-f.Active >= w.rule.For {
			f.Fired = at
			if f.Labels, f.Annotations, err = describe(w.rule, sample, at); err != nil {
				return err
			}
		}
	}
	for id, f := range w.active {
		if holds[id] {
			continue
		}
		delete(w.active, id)
		if f.Fired != 0 {
			f.Recovered = at
			w.over = append(w.over, *f)
		}
	}
	return nil
}

// end is all that fired.
func (w *watch) end() []firing {
	for _, f := range w.active {
		if f.Fired != 0 {
			w.over = append(w.over, *f)
		}
	}
	return w.over
}

func ask(engine *promql.Engine, samples memory, text string, at int64) (promql.Vector, error) {
	ctx := context.Background()
	query, err := engine.NewInstantQuery(ctx, samples, nil, text, time.UnixMilli(at))
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	if scalar, ok := result.Value.(promql.Scalar); ok {
		return promql.Vector{{T: scalar.T, F: scalar.V}}, nil
	}
	vector, err := result.Vector()
	return slices.Clone(vector), err
}

// describe writes an alert's labels and annotations for one result.
func describe(r rule, sample promql.Sample, at int64) (of, annotations map[string]string, err error) {
	data := template.AlertTemplateData(sample.Metric.Map(), nil, "", sample)
	const variables = "{{$labels := .Labels}}{{$value := .Value}}"
	expand := func(texts, into map[string]string) error {
		for name, text := range texts {
			query := func(context.Context, string, time.Time) (promql.Vector, error) { return nil, nil }
			expanded, err := template.NewTemplateExpander(context.Background(), variables+text, r.Alert, data,
				model.Time(at), query, &url.URL{}, []string{"missingkey=error"}).Expand()
			if err != nil {
				return fmt.Errorf("annotation %s: %w", name, err)
			}
			into[name] = expanded
		}
		return nil
	}
	of, annotations = sample.Metric.DropReserved(func(name string) bool { return name == model.MetricNameLabel }).Map(), map[string]string{}
	if err := expand(r.Labels, of); err != nil {
		return nil, nil, err
	}
	return of, annotations, expand(r.Annotations, annotations)
}
