// Command promcheck reads alert rules and PromQL as Prometheus does, and runs
// the rules on given samples. It takes a JSON request on standard input and
// answers in JSON on standard output; the tests of internal/deploycheck ask it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// request is what is asked. Each member may be missing.
type request struct {
	// Config is the text of a configuration of Prometheus, Rules that of a file of
	// alert rules.
	Config, Rules string
	// Expressions are PromQL, without variables of Grafana.
	Expressions []string
	// Series are samples; the rules run on them from Start to End (milliseconds,
	// Unix time), every Step: those named in Alerts, or all.
	Series           []series
	Alerts           []string
	Start, End, Step int64
}

type response struct {
	Config      *config      `json:",omitempty"`
	Rules       []rule       `json:",omitempty"`
	Expressions []expression `json:",omitempty"`
	Firings     []firing     `json:",omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promcheck:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var asked request
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	var answer response
	var err error
	if asked.Config != "" {
		if answer.Config, err = readConfig(asked.Config); err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
	}
	if asked.Rules != "" {
		if answer.Rules, err = readRules(asked.Rules); err != nil {
			return fmt.Errorf("read rules: %w", err)
		}
	}
	for _, text := range asked.Expressions {
		e, err := read(text)
		if err != nil {
			return fmt.Errorf("read %q: %w", text, err)
		}
		answer.Expressions = append(answer.Expressions, e)
	}
	if asked.Step > 0 {
		if answer.Firings, err = evaluate(answer.Rules, asked); err != nil {
			return fmt.Errorf("evaluate rules: %w", err)
		}
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
