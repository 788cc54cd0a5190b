package apicheck

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
)

// checkLines checks each line of NDJSON. Which schema it has depends on the
// format that was asked for.
func (a answer) checkLines(body []byte, content *openapi3.MediaType) error {
	format := a.Request.URL.Query().Get("format")
	if format == "" {
		format = "ndjson"
	}
	ref, ok := named(content, "x-line-schemas", format)
	if !ok {
		return fmt.Errorf("format=%s has no schema of its lines", format)
	}
	whole, rest := cutAfterLast(body, "\n")
	if len(rest) > 0 && !a.Cut {
		return errors.New("the last line does not end")
	}
	for i, line := range bytes.Split(whole, []byte("\n")) {
		if len(whole) == 0 {
			break
		}
		if err := a.Validate(ref, line); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

// checkMessages checks the data of server-sent events. What did not arrive whole
// is not a message yet.
func (a answer) checkMessages(body []byte, content *openapi3.MediaType) error {
	whole, _ := cutAfterLast(body, "\n\n")
	for _, message := range bytes.Split(whole, []byte("\n\n")) {
		var name string
		var data [][]byte
		for line := range bytes.SplitSeq(message, []byte("\n")) {
			field, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(field) {
			case "event":
				name = string(value)
			case "data":
				data = append(data, value)
			case "id", "retry", "": // a comment begins with the colon
			default:
				return fmt.Errorf("%q is no field of a server-sent event", line)
			}
		}
		if data == nil {
			continue
		}
		ref, ok := named(content, "x-event-schemas", name)
		if !ok {
			return fmt.Errorf("a message %q is not documented", name)
		}
		if err := a.Validate(ref, bytes.Join(data, []byte("\n"))); err != nil {
			return fmt.Errorf("message %q: %w", name, err)
		}
	}
	return nil
}

// named is the place of a schema that an extension of the document names.
func named(content *openapi3.MediaType, extension, name string) (ref string, ok bool) {
	schemas, _ := content.Extensions[extension].(map[string]any)
	ref, ok = schemas[name].(string)
	return ref, ok
}

// cutAfterLast cuts b at the last separator; without one, all of it is the rest.
func cutAfterLast(b []byte, separator string) (whole, rest []byte) {
	i := bytes.LastIndex(b, []byte(separator))
	if i < 0 {
		return nil, b
	}
	return b[:i], b[i+len(separator):]
}
