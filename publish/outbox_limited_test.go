package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/publish"
)

const limitedProgram = "outbox-limited"

// publishOnLimitedDisk is an auth service whose disk takes 3,000 bytes a file,
// then any number; its arguments are the server and the directory. The limit is
// the kernel's, so that writes fail half way, as on a disk that is full.
func publishOnLimitedDisk(args []string) int {
	err := func() error {
		signal.Ignore(syscall.SIGXFSZ) // then the write fails instead of the process
		nc, err := nats.Connect(args[0], nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
		if err != nil {
			return err
		}
		defer nc.Close()
		p, err := publish.New(nc, publish.Options{Timeout: time.Minute})
		if err != nil {
			return err
		}
		options := quick(args[1])
		options.Alarm = func(err error) { fmt.Println("alarm:", err) }
		b, err := p.OpenOutbox(options)
		if err != nil {
			return err
		}
		if err := limitFiles(3000); err != nil {
			return err
		}
		n, err := publishAll(b, 0, 1000)
		if !errors.Is(err, publish.ErrOutboxDisk) || !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("the disk is full, and the error is: %w", err)
		}
		fmt.Println("full after", n)
		if _, err := publishAll(b, n, n+1); !errors.Is(err, publish.ErrOutboxDisk) && err != nil {
			return err
		}
		if err := limitFiles(1 << 30); err != nil {
			return err
		}
		if _, err := publishAll(b, n, n+20); err != nil {
			return err
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		if err := b.Close(ended); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func limitFiles(size uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = min(size, limit.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// publishAll publishes events until one fails, and tells its number.
func publishAll(b *publish.Outbox, from, to int) (int, error) {
	for n := from; n < to; n++ {
		if _, err := b.Publish(context.Background(), login(fmt.Sprintf("e-%05d", n))); err != nil {
			return n, err
		}
	}
	return to, nil
}

func TestFullDiskIsToldAndEverythingBeforeAndAfterItArrivesOnceAndInOrder(t *testing.T) {
	p := newPipeline(t)
	events(t, connect(t, p.s), nil)
	url, dir := p.s.ClientURL(), filepath.Join(t.TempDir(), "outbox")
	p.stop()
	process := start(t, limitedProgram, url, dir)
	if status := process.Wait(t); status != 0 {
		t.Fatalf("the process ended with %d: %s", status, process.Err())
	}
	var n int
	if _, err := fmt.Sscanf(process.Out(), "full after %d\n", &n); err != nil || n < 3 {
		t.Fatalf("the process wrote %q (%v), want only at which event the disk was full", process.Out(), err)
	}
	p.restart()
	flush(t, outbox(t, connect(t, p.s), quick(dir)))
	var want []string
	for i := range n + 20 {
		want = append(want, fmt.Sprintf("e-%05d", i))
	}
	wantStored(t, eventsStream(t, p.s), want)
}
