package main

import (
	"strconv"
	"strings"
)

// metric reads one value, its labels being part of the name, from the text that
// Prometheus reads.
func metric(text []byte, name string) (float64, bool) {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v, err == nil
		}
	}
	return 0, false
}
