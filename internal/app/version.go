package app

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// VersionInfo is what a binary knows of its own making.
type VersionInfo struct {
	// Version is the module's: v1.2.3, or (devel).
	Version string `json:"version"`
	// Commit is the revision it was built from, "" where that is not known;
	// Modified tells that the tree had changes on top.
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Time     string `json:"commit_time"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Version reads it from the binary.
func Version() VersionInfo {
	v := VersionInfo{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = build.Main.Version
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		case "vcs.time":
			v.Time = s.Value
		}
	}
	return v
}

// WriteVersion writes it for people, or as JSON.
func WriteVersion(out io.Writer, asJSON bool) error {
	v := Version()
	if asJSON {
		return writeJSON(out, v, "  ")
	}
	commit := v.Commit
	if commit == "" {
		commit = "unknown commit"
	}
	if v.Modified {
		commit += ", modified"
	}
	_, err := fmt.Fprintf(out, "loginaudit %s (%s) %s %s\n", v.Version, commit, v.Go, v.Platform)
	if err != nil {
		return fmt.Errorf("write version: %w", err)
	}
	return nil
}
