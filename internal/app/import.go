package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/publish"
	"github.com/nats-io/nats.go"
)

// ImportSettings are those of "loginaudit import".
type ImportSettings struct {
	ClientSettings
	Wait        bool          `koanf:"wait" help:"wait until all of them can be queried"`
	WaitTimeout time.Duration `koanf:"wait-timeout" help:"bound of --wait"`
	URL         string        `koanf:"url" help:"where the API is, for --wait (default: the serve of the data directory)"`
	Token       ops.Secret    `koanf:"token" help:"API token for --wait (default: the data directory's admin.token)"`
}

// DefaultImport looks for a running serve in the default data directory.
func DefaultImport() ImportSettings {
	return ImportSettings{ClientSettings: ClientSettings{DataDir: DefaultDataDir}, WaitTimeout: 10 * time.Minute}
}

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal tells that Err is a terminal, where progress is shown.
	Terminal bool
}

// errRejected: lines were refused, each of them told already.
var errRejected = errors.New("some lines were rejected")

// errInterrupted: somebody asked the import to stop.
var errInterrupted = errors.New("interrupted; run the same command again, repeats do no harm")

// importer is one run of the import. Lines are read in one goroutine and
// confirmed in others.
type importer struct {
	bulk  *publish.Bulk
	files []string
	out   Streams
	// account is that of the first event that is valid. ask, where not nil, is
	// how the API is asked how far its answers are.
	account string
	ask     *watermarkQuestion

	mu     sync.Mutex // guards what follows
	bar    progress
	counts importCounts
	// last is the last sequence in the stream of an event of this import.
	last uint64
}

type importCounts struct{ published, duplicate, rejected, unconfirmed int }

// Import publishes the events in files, one a line, byte for byte; "-" is the
// standard input. It ends with a line of counts, whatever happened. The error
// tells that lines were rejected or not confirmed, or why nothing was sent.
func Import(ctx context.Context, s ImportSettings, files []string, std Streams) error {
	im := &importer{files: files, out: std}
	err := im.run(ctx, s)
	fmt.Fprintf(std.Out, "published=%d duplicate=%d rejected=%d\n", im.counts.published, im.counts.duplicate, im.counts.rejected)
	return err
}

func (im *importer) run(ctx context.Context, s ImportSettings) error {
	nc, err := s.connect(engine.UserPublisher)
	if err != nil {
		return err
	}
	defer nc.Close()
	if s.Wait {
		if im.ask, err = s.question(); err != nil {
			return err
		}
	}
	if err := im.publish(ctx, nc); err != nil {
		return err
	}
	if s.Wait {
		if err := im.wait(ctx, s.WaitTimeout); err != nil {
			return err
		}
	}
	if im.counts.rejected > 0 {
		return errRejected
	}
	return nil
}

// publish publishes all lines and waits until each is confirmed or refused.
func (im *importer) publish(ctx context.Context, nc *nats.Conn) error {
	publisher, err := publish.New(nc, publish.Options{Timeout: 10 * time.Second})
	if err != nil {
		return fmt.Errorf("prepare import: %w", err)
	}
	im.bar = newProgress(im.files, im.out)
	// What is in hand when ctx ends is still confirmed, so that the counts are
	// true; the publisher's own bounds hold.
	im.bulk = publisher.Bulk(context.WithoutCancel(ctx), im.confirmed)
	err = im.all(ctx)
	closed := im.bulk.Close()
	im.bar.done()
	if err == nil {
		err = closed
	}
	if im.counts.unconfirmed > 0 {
		err = errors.Join(err, fmt.Errorf("%d lines were not confirmed: run the same command again, repeats do no harm", im.counts.unconfirmed))
	}
	return err
}

func (im *importer) all(ctx context.Context) error {
	for i, name := range im.files {
		if err := im.file(ctx, i, name); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) file(ctx context.Context, index int, name string) error {
	in := im.out.In
	if name == "-" {
		in = untilDone(ctx, in)
	} else {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		defer f.Close()
		in = f
	}
	lines := newLineReader(im.bar.reader(in))
	for {
		line, number, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("import %s: %w", name, err)
		case ctx.Err() != nil:
			return fmt.Errorf("import %s: line %d: %w", name, number, errInterrupted)
		}
		if err := im.line(ctx, lineRef(index, number), line); err != nil {
			return err
		}
	}
}

// untilDone reads from r until ctx ends, also while r has nothing to give. The
// last read of r is left behind: it ends with the process.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(errInterrupted) })
	return out
}

// lineRef names a line: the file's place in 16 bits, then the line's number.
func lineRef(index int, number uint64) uint64 { return uint64(index)<<48 | number }

// where is how a line is named to people.
func (im *importer) where(ref uint64) string {
	return fmt.Sprintf("%s:%d", Printable(im.files[ref>>48]), ref&(1<<48-1))
}

// line publishes one line, or tells why not.
func (im *importer) line(ctx context.Context, ref uint64, line []byte) error {
	e, hash, err := event.Decode(line)
	if err == nil {
		// The worker would park it.
		err = e.CheckReceived(time.Now())
	}
	if err != nil {
		im.mu.Lock()
		defer im.mu.Unlock()
		im.reject(ref, err)
		return nil
	}
	if im.account == "" {
		im.account = e.Account
		if err := im.ask.check(ctx, e.Account); err != nil {
			return err
		}
	}
	if err := im.bulk.Add(publish.Message{Subject: e.Subject(), Body: line, Hash: hash, Ref: ref}); err != nil {
		return fmt.Errorf("publish %s: %w", im.where(ref), err)
	}
	return nil
}

// confirmed takes the stream's answer about one line.
func (im *importer) confirmed(r publish.Result) {
	im.mu.Lock()
	defer im.mu.Unlock()
	switch {
	case r.Err == nil:
		im.last = max(im.last, r.Receipt.StreamSeq)
		if r.Receipt.Duplicate {
			im.counts.duplicate++
		} else {
			im.counts.published++
		}
	case errors.Is(r.Err, publish.ErrTooLarge), errors.Is(r.Err, publish.ErrInvalid):
		im.reject(r.Ref, r.Err)
	default:
		im.counts.unconfirmed++
	}
}

// reject tells why a line is not published. im.mu is held.
func (im *importer) reject(ref uint64, err error) {
	im.counts.rejected++
	im.bar.clear()
	code := "refused"
	var rule *event.Error
	if errors.As(err, &rule) {
		code, err = string(rule.Reason), rule
	}
	fmt.Fprintf(im.out.Err, "%s: %s: %s\n", im.where(ref), code, Printable(err.Error()))
}
