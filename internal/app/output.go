package app

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// writeJSON writes v as one JSON document and a line end.
func writeJSON(out io.Writer, v any, indent string) error {
	text, err := printableJSON(v, indent)
	if err != nil {
		return err
	}
	if _, err := out.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
