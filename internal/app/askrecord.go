package app

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/export"
)

// record is the fields of an answer as a line of CSV: names and cells in the order
// of the JSON. A field that is an object has a cell for each of its own, with its
// name in front; a list and a map are their JSON. What is absent is empty.
func record(v any) (names, cells []string, err error) {
	r := recorder{}
	err = r.object("", reflect.ValueOf(v))
	return r.names, r.cells, err
}

type recorder struct{ names, cells []string }

func (r *recorder) object(prefix string, v reflect.Value) error {
	for f, field := range v.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			if err := r.object(prefix, field); err != nil {
				return err
			}
			continue
		}
		if err := r.field(prefix+name, field); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) field(name string, v reflect.Value) error {
	if v.Type() == reflect.TypeFor[*client.Activity]() {
		if v.IsNil() { // its cells are empty, and there all the same
			for f := range v.Type().Elem().Fields() {
				r.add(name+"_"+f.Tag.Get("json"), "")
			}
			return nil
		}
		return r.object(name+"_", v.Elem())
	}
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Map || v.Kind() == reflect.Slice {
		if v.IsNil() {
			r.add(name, "")
			return nil
		}
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
		r.add(name, string(text))
	default:
		r.add(name, fmt.Sprint(v.Interface()))
	}
	return nil
}

func (r *recorder) add(name, text string) {
	r.names, r.cells = append(r.names, name), append(r.cells, text)
}

// csvLine is a line of RFC 4180, guarded as exports are: what a spreadsheet would
// take for a formula has an apostrophe in front.
func csvLine(cells []string) []byte {
	var line []byte
	for i, c := range cells {
		if i > 0 {
			line = append(line, ',')
		}
		line = export.AppendCell(line, c)
	}
	return append(line, "\r\n"...)
}
