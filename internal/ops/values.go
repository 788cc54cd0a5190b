package ops

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Secret is a setting that is never printed: its String is "***" where it is
// set and "" where it is not. [Secret.Reveal] gives the text.
type Secret string

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the text from %#v too.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the text from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the text itself.
func (s Secret) Reveal() string { return string(s) }

// Bytes is a size. In settings it is written as 512MiB, 2GiB or plain bytes.
type Bytes int64

// The binary multiples of a byte.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

var byteUnits = []struct {
	name string
	size Bytes
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// String is the shortest exact form.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b >= u.size && b%u.size == 0 && u.size > 1 {
			return fmt.Sprintf("%d%s", b/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// ParseBytes reads a size: a whole number, with B, KiB, MiB, GiB or TiB behind
// it or nothing for bytes.
func ParseBytes(text string) (Bytes, error) {
	number, unit := strings.TrimSpace(text), Bytes(1)
	for _, u := range byteUnits {
		if cut, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(cut), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("%q is not a size: write a whole number of bytes, or with KiB, MiB, GiB or TiB behind it", text)
	}
	return Bytes(n) * unit, nil
}

// ParseDuration reads a duration of time.ParseDuration, or a number of days:
// 30d is 720h.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(strings.TrimSpace(text), "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && math.Abs(n) <= 100_000 {
			return time.Duration(n * float64(24*time.Hour)), nil
		}
	} else if d, err := time.ParseDuration(strings.TrimSpace(text)); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a duration: write it like 500ms, 30s, 15m, 24h or 30d", text)
}

// set puts v, as a file or the environment gives it, into a field.
func set(field reflect.Value, v any) error {
	switch list := v.(type) {
	case []any: // a file's list
		return setList(field, list)
	case []string: // a repeated flag
		field.Set(reflect.ValueOf(list))
		return nil
	}
	text := fmt.Sprint(v)
	switch field.Interface().(type) {
	case time.Duration:
		d, err := ParseDuration(text)
		field.SetInt(int64(d))
		return err
	case Bytes:
		b, err := ParseBytes(text)
		field.SetInt(int64(b))
		return err
	case []string:
		return setList(field, splitList(text))
	}
	return setPlain(field, text)
}

func setPlain(field reflect.Value, text string) error {
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		field.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		field.SetFloat(f)
	default:
		return fmt.Errorf("settings of type %s are not supported", field.Type())
	}
	return nil
}

func setList(field reflect.Value, list []any) error {
	if field.Type() != reflect.TypeFor[[]string]() {
		return fmt.Errorf("a list is not allowed here")
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		texts = append(texts, fmt.Sprint(v))
	}
	field.Set(reflect.ValueOf(texts))
	return nil
}

func splitList(text string) []any {
	var list []any
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// show is the printed form of a setting.
func show(v any) any {
	switch v := v.(type) {
	case time.Duration:
		return showDuration(v)
	case fmt.Stringer: // Secret, Bytes
		return v.String()
	case string:
		return hideUserinfo(v)
	default:
		return v
	}
}

// userinfo is what stands between the scheme and the host of a URL: a user and
// a password, or a token.
var userinfo = regexp.MustCompile(`(://)[^/@,]*@`)

// hideUserinfo keeps the credentials in URLs, of which there may be a list, out
// of what is printed.
func hideUserinfo(text string) string { return userinfo.ReplaceAllString(text, "${1}***@") }

func showDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d == 0 {
		return "0"
	}
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String() // 24h0m0s
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
