//go:build !linux

package faults

import "errors"

var errNoNamespace = errors.New("only Linux has mount namespaces")

func enterNamespace() error { return errNoNamespace }

func mountTmpfs(string, int64) error { return errNoNamespace }

func unmount(string) error { return errNoNamespace }
