package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Class says what to do about an error of Insert or SetWatermark.
type Class int

// The classes. The zero value is the careful one.
const (
	// Retry: the store is down, full or busy, or the outcome is unknown. The
	// same rows may be inserted again, for ever.
	Retry Class = iota
	// Split: ClickHouse refuses something in these rows. Halve the batch to
	// find the row.
	Split
	// Stop: the set-up is wrong, by schema or by rights. No row is at fault and
	// no repetition helps.
	Stop
	// TooLarge: ClickHouse has not enough memory for so many rows at once, or a
	// limit on their number. No row is at fault; fewer at a time may get in.
	TooLarge
)

// String names the class for logs and metrics.
func (c Class) String() string {
	switch c {
	case Split:
		return "split"
	case Stop:
		return "stop"
	case TooLarge:
		return "too_large"
	default:
		return "retry"
	}
}

// ErrSchema is the error of a database that has another schema version than this program knows.
var ErrSchema = errors.New("schema version differs")

// stopCodes are errors of the set-up: unknown table or column, column types
// that differ, missing rights, unknown user, wrong password, unknown setting.
var stopCodes = []int32{16, 47, 53, 60, 81, 115, 164, 192, 193, 194, 195, 291, 452, 497, 516}

// splitCodes are errors that a value in a row can cause: unparsable or
// out-of-range values, strings that are too long for their column.
var splitCodes = []int32{6, 7, 20, 25, 26, 27, 38, 41, 43, 44, 69, 72, 117, 131, 321, 349, 392}

// tooLargeCodes are the limits that an insert of fewer rows may stay below: rows,
// memory that cannot be had, memory of a query, a user or the server, bytes, rows
// or bytes.
var tooLargeCodes = []int32{158, 173, 241, 307, 396}

// Classify tells what an error of an insert asks for. What is not known is
// retried: it never loses a row.
func Classify(err error) Class {
	if errors.Is(err, ErrSchema) {
		return Stop
	}
	var exception *clickhouse.Exception
	if !errors.As(err, &exception) {
		return Retry
	}
	switch {
	case slices.Contains(stopCodes, exception.Code):
		return Stop
	case slices.Contains(splitCodes, exception.Code):
		return Split
	case slices.Contains(tooLargeCodes, exception.Code):
		return TooLarge
	default:
		return Retry
	}
}

// heavyCodes are the limits that a question of the reader may hit: rows, bytes,
// time, result size, memory.
var heavyCodes = []int32{158, 159, 160, 241, 307, 396}

// faultCodes are refusals that are our own fault, not a passing state of the
// server: syntax, unknown names, types, rights.
var faultCodes = []int32{36, 42, 43, 46, 47, 53, 60, 62, 70, 81, 164, 386, 457, 497, 516}

// wordCodes are the exceptions whose text speaks of the schema, of rights and of
// limits only. Any other may quote a value, and errors go into logs, which hold
// no personal data.
var wordCodes = []int32{16, 47, 60, 81, 115, 158, 159, 164, 192, 193, 194, 202, 203, 209, 210, 241, 242, 243, 252, 307, 396, 497, 516, 774}

// exceptionError is an exception of the server, told without its values.
type exceptionError struct{ *clickhouse.Exception }

// Error is the code, and the server's text where it can hold no value.
func (e exceptionError) Error() string {
	if slices.Contains(wordCodes, e.Code) {
		return fmt.Sprintf("clickhouse code %d: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("clickhouse code %d", e.Code)
}

func (e exceptionError) Unwrap() error { return e.Exception }

// withoutValues keeps the values that a server's exception may quote out of the
// error's text.
func withoutValues(err error) error {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return exceptionError{exception}
	}
	return err
}

// outOfMemory tells that the server as a whole has no memory left, which is not
// the fault of the question that it was found at.
func outOfMemory(e *clickhouse.Exception) bool {
	const memoryLimit = 241
	return e.Code == memoryLimit && strings.Contains(e.Message, "(total)")
}

// readError says what a failed SELECT means to the one who asked.
func readError(doing string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var exception *clickhouse.Exception
	isException := errors.As(err, &exception)
	err = withoutValues(err)
	switch {
	case !isException, outOfMemory(exception):
		return fmt.Errorf("%s: %w: %w", doing, query.ErrUnavailable, err)
	case slices.Contains(heavyCodes, exception.Code):
		return fmt.Errorf("%s: %w: %w", doing, query.ErrTooHeavy, err)
	case slices.Contains(faultCodes, exception.Code):
		return fmt.Errorf("%s: %w", doing, err)
	default:
		return fmt.Errorf("%s: %w: %w", doing, query.ErrUnavailable, err)
	}
}
