package query

import (
	"errors"
	"strings"
)

// The errors that a question may meet; the web layer maps each to one HTTP
// status. Wrap them with what was not found, and so on.
var (
	// ErrNotFound: the user or the event does not exist.
	ErrNotFound = errors.New("not found")
	// ErrTooHeavy: the question would read more than its limits allow.
	ErrTooHeavy = errors.New("too heavy")
	// ErrUnavailable: the store cannot answer now; try again.
	ErrUnavailable = errors.New("unavailable")
	// ErrTailFull: as many readers follow the tail as may.
	ErrTailFull = errors.New("the tail has as many readers as it may have")
)

// ParameterError is one wrong parameter.
type ParameterError struct {
	Parameter string `json:"parameter"`
	Detail    string `json:"detail"`
	Allowed   string `json:"allowed"`
}

// InvalidError is every wrong parameter of a question.
type InvalidError struct{ Errors []ParameterError }

// Error names each parameter and what is wrong with it.
func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Errors))
	for i, p := range e.Errors {
		parts[i] = p.Parameter + ": " + p.Detail
	}
	return "invalid parameters: " + strings.Join(parts, "; ")
}
