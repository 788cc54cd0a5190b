// Package schema holds the files that other languages and the database go by,
// embedded so that the binaries carry them. The variables are read only.
package schema

import _ "embed" // for the go:embed directives

// EventV1 is the JSON Schema (draft 2020-12) of the event message, version 1.
//
//go:embed event.v1.schema.json
var EventV1 []byte

// Codes is the closed table of entries and statuses with their meaning, in CSV.
//
//go:embed codes.csv
var Codes []byte

// OpenAPI is the contract of the HTTP API (OpenAPI 3.1), in YAML, as it is served
// at /api/v1/openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte
