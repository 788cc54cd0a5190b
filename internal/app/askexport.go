package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

// ExportSettings are those of "loginaudit export". There is no --output: the
// format is that of the export.
type ExportSettings struct {
	Format string `koanf:"format" help:"ndjson, csv, parquet, or ocsf (Open Cybersecurity Schema Framework)"`
	Out    string `koanf:"out" help:"file to write; it appears only when the export is proven whole (default: standard output)"`
	RangeSettings
	EventFilterSettings
	AskSettings
}

// DefaultExport writes NDJSON.
func DefaultExport() ExportSettings {
	return ExportSettings{Format: string(client.NDJSON), AskSettings: DefaultAsk()}
}

// Validate names what is not allowed.
func (s ExportSettings) Validate() error {
	var err error
	if !slices.Contains(client.Formats(), client.Format(s.Format)) {
		err = fmt.Errorf("format: %q is not allowed; one of %s", s.Format, strings.Join(words(client.Formats()), ", "))
	}
	return errors.Join(err, s.EventFilterSettings.Validate(), s.AskSettings.Validate())
}

// exportTo writes an export to its file or to the standard output.
func exportTo(cmd *cobra.Command, s ExportSettings, account string) error {
	out := cmd.OutOrStdout()
	toTerminal := s.Out == "" && isTerminal(out)
	if toTerminal && client.Format(s.Format) == client.Parquet {
		return ops.Usagef("out: parquet is nothing for a terminal; give --out FILE")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	f := s.within(s.filter(cmd.Flags().Changed), s.AskSettings)
	e, err := c.Export(cmd.Context(), account, f, client.Format(s.Format))
	if err != nil {
		return told(cmd, err)
	}
	defer e.Close()
	from := exportProgress(cmd, e, toTerminal)
	switch {
	case s.Out != "":
		err = from.toFile(cmd.Context(), s.Out)
	case toTerminal:
		err = from.copy(&printableWriter{out: out})
	default:
		err = from.copy(out)
	}
	from.bar.done()
	switch {
	case errors.Is(err, client.ErrIncomplete):
		if s.Out != "" {
			return told(cmd, fmt.Errorf("%s is not written: %w", s.Out, err))
		}
		return told(cmd, fmt.Errorf("do not use what was written: %w", err))
	case err != nil:
		return told(cmd, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d events, whole\n", e.Events())
	return nil
}

// exporting is an export on its way.
type exporting struct {
	export *client.Export
	bar    progress
}

// exportProgress shows people how much has come.
func exportProgress(cmd *cobra.Command, e *client.Export, toTerminal bool) exporting {
	from := exporting{export: e}
	if err := cmd.ErrOrStderr(); isTerminal(err) && !toTerminal {
		from.bar.bar = progressbar.NewOptions64(-1,
			progressbar.OptionSetWriter(err), progressbar.OptionSetDescription("exporting"), progressbar.OptionShowBytes(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return from
}

func (x exporting) copy(out io.Writer) error {
	_, err := io.Copy(out, x.bar.reader(x.export))
	if err != nil && !errors.Is(err, client.ErrIncomplete) {
		return fmt.Errorf("write export: %w", err)
	}
	return err
}

// toFile writes a file beside name, and gives it that name when the export is
// proven whole: what is there by that name was never half an export.
func (x exporting) toFile(ctx context.Context, name string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*.part")
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = x.copy(f)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = ctx.Err() // who interrupts wants no file
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}

// printableWriter makes lines of text printable, for a terminal.
type printableWriter struct {
	out  io.Writer
	rest []byte // of a line that is not whole yet
}

// Write writes the lines that are whole by now.
func (w *printableWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := strings.Cut(string(w.rest), "\n")
		if !whole {
			return len(p), nil
		}
		w.rest = []byte(rest)
		if _, err := fmt.Fprintln(w.out, Printable(strings.TrimSuffix(line, "\r"))); err != nil {
			return 0, fmt.Errorf("write line: %w", err)
		}
	}
}
