package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// exported is how fast an account leaves.
type exported struct {
	Format  string  `json:"format"`
	Events  int64   `json:"lines"`
	Bytes   int64   `json:"bytes"`
	Took    float64 `json:"took_s"`
	Rate    float64 `json:"lines_a_second"`
	Peak    int     `json:"serve_peak_mb"` // of serve without its engine
	Trouble string  `json:"trouble,omitempty"`
}

// export reads all events of the largest account in one format, to the end.
func (b *bench) export(ctx context.Context, a *asker, format string) exported {
	e := exported{Format: format}
	if err := b.readExport(ctx, a, &e); err != nil {
		e.Trouble = err.Error()
	}
	return e
}

func (b *bench) readExport(ctx context.Context, a *asker, e *exported) error {
	path := a.account(accountName(hugeAccount)) + "/export?format=" + e.Format + "&end=" + stamp(a.until)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	began := time.Now()
	resp, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	buffer := make([]byte, 1<<20)
	for err == nil {
		var n int
		n, err = resp.Body.Read(buffer)
		e.Bytes += int64(n)
		e.Events += int64(bytes.Count(buffer[:n], []byte{'\n'}))
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if resp.Trailer.Get("Loginaudit-Export-Complete") != "true" {
		return errors.New("the export does not say that it is complete")
	}
	if n := resp.Trailer.Get("Loginaudit-Export-Events"); n != "" {
		if _, err := fmt.Sscan(n, &e.Events); err != nil {
			return err
		}
	}
	e.Took = time.Since(began).Seconds()
	e.Rate = float64(e.Events) / e.Took
	_, e.Peak = memory(b.server.cmd.Process.Pid)
	return nil
}
