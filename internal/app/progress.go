package app

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows people how far an import is; on anything but a terminal it
// does nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress knows the whole where every file's size is known.
func newProgress(files []string, s Streams) progress {
	if !s.Terminal {
		return progress{}
	}
	var total int64
	for _, name := range files {
		info, err := os.Stat(name)
		if name == "-" || err != nil || !info.Mode().IsRegular() {
			total = -1
			break
		}
		total += info.Size()
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(s.Err),
		progressbar.OptionSetDescription("importing"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)
	_ = bar.RenderBlank() // only decoration
	return progress{bar}
}

// reader counts what is read from r.
func (p progress) reader(r io.Reader) io.Reader {
	if p.bar == nil {
		return r
	}
	reader := progressbar.NewReader(r, p.bar)
	return &reader
}

// clear makes room for a line; the bar comes back with the next step.
func (p progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear() // only decoration
	}
}

// done takes the bar away.
func (p progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // only decoration
	}
}
