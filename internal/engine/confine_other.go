//go:build !linux

package engine

// confine is for Linux only.
func confine(string) error { return errNoConfinement }
