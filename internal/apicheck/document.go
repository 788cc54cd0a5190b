package apicheck

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Document is an OpenAPI document. kin-openapi reads it and says whether it is
// one; its schemas are compiled by jsonschema, which is JSON Schema 2020-12, as
// OpenAPI 3.1 has it. It is safe for concurrent use.
type Document struct {
	spec *openapi3.T

	mu       sync.Mutex
	compiler *jsonschema.Compiler
}

// address names the document for references inside it.
const address = "openapi.yaml"

// Read reads a document in YAML. It fails where it is no valid OpenAPI 3.1.
func Read(text []byte) (*Document, error) {
	spec, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	if !spec.IsOpenAPI31OrLater() {
		return nil, fmt.Errorf("document is of version %s, want 3.1", spec.OpenAPI)
	}
	if err := spec.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("validate document: %w", err)
	}
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("read document as YAML: %w", err)
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("write document as JSON: %w", err)
	}
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		return nil, fmt.Errorf("read document as JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(address, resource); err != nil {
		return nil, fmt.Errorf("add document: %w", err)
	}
	d := &Document{spec: spec, compiler: c}
	return d, d.compileAll()
}

// compileAll finds the mistakes in schemas that no test uses.
func (d *Document) compileAll() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.spec.Components.Schemas)) {
		_, err := d.compiled("#/components/schemas/" + name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// compiled is the schema at a place of the document.
func (d *Document) compiled(ref string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.compiler.Compile(address + ref) // keeps what it compiled
	if err != nil {
		return nil, fmt.Errorf("compile schema %s: %w", ref, err)
	}
	return s, nil
}

// Validate checks one JSON text against the schema at a place of the document,
// such as #/components/schemas/Event.
func (d *Document) Validate(ref string, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	return d.validate(ref, v)
}

func (d *Document) validate(ref string, v any) error {
	s, err := d.compiled(ref)
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// Operation is a question that the document tells of.
type Operation struct {
	// Path has its parameters in braces.
	Path string
	// Query are the parameters of the query string, by name, each with the values
	// of a closed list as they are written; nil where any are allowed.
	Query map[string][]string
	// Statuses are those of the answers, sorted.
	Statuses []string
}

// Operations lists all of them by path.
func (d *Document) Operations() []Operation {
	var all []Operation
	for _, path := range slices.Sorted(maps.Keys(d.spec.Paths.Map())) {
		o := operation{path: path, item: d.spec.Paths.Value(path)}
		known := Operation{
			Path: path, Query: map[string][]string{},
			Statuses: slices.Sorted(maps.Keys(o.item.Get.Responses.Map())),
		}
		for _, p := range o.parameters() {
			if p.In == openapi3.ParameterInQuery {
				known.Query[p.Name] = listed(p.Schema.Value)
			}
		}
		all = append(all, known)
	}
	return all
}

// listed are the values of a closed list.
func listed(s *openapi3.Schema) (values []string) {
	if s.Type.Is(openapi3.TypeArray) {
		return listed(s.Items.Value)
	}
	for _, v := range s.Enum {
		values = append(values, fmt.Sprint(v))
	}
	return values
}

// operation is the GET of a path.
type operation struct {
	path string
	item *openapi3.PathItem
	// values are those of the parameters in the path.
	values map[string]string
}

// find is the operation that a request is for.
func (d *Document) find(r *http.Request) (operation, bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return operation{}, false
	}
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for path, item := range d.spec.Paths.Map() {
		if values, ok := match(strings.Split(path, "/"), parts); ok {
			return operation{path: path, item: item, values: values}, true
		}
	}
	return operation{}, false
}

// match cuts a path before anything in it is decoded, as the service does.
func match(template, parts []string) (map[string]string, bool) {
	if len(template) != len(parts) {
		return nil, false
	}
	values := map[string]string{}
	for i, t := range template {
		name, isParameter := strings.CutPrefix(t, "{")
		switch {
		case isParameter && parts[i] != "":
			value, err := url.PathUnescape(parts[i])
			if err != nil {
				return nil, false
			}
			values[strings.TrimSuffix(name, "}")] = value
		case isParameter || t != parts[i]:
			return nil, false
		}
	}
	return values, true
}

// parameter is one of an operation, with the place of its schema.
type parameter struct {
	*openapi3.Parameter
	ref string
}

func (o operation) parameters() []parameter {
	var all []parameter
	add := func(place string, list openapi3.Parameters) {
		for i, p := range list {
			ref := p.Ref
			if ref == "" {
				ref = fmt.Sprintf("%s/parameters/%d", place, i)
			}
			all = append(all, parameter{Parameter: p.Value, ref: ref + "/schema"})
		}
	}
	add(o.place(), o.item.Parameters)
	add(o.place()+"/get", o.item.Get.Parameters)
	return all
}

// place is where the document has the path.
func (o operation) place() string { return "#/paths/" + pointer(o.path) }

// pointer writes a name as a part of a JSON pointer in a URL.
func pointer(name string) string {
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return strings.NewReplacer("{", "%7B", "}", "%7D").Replace(escaped)
}
