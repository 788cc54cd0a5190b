package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

var errFault = errors.New("input/output error")

// disk is the real disk, with faults. A fault is asked before each operation.
type disk struct {
	create, write, sync, cut fault
	syncs                    atomic.Int64
}

// fault is a function that may fail or hang, and can be exchanged.
type fault struct {
	mu sync.Mutex
	do func() error
}

func (f *fault) set(do func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.do = do
}

func (f *fault) ask() error {
	f.mu.Lock()
	do := f.do
	f.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

func (d *disk) open(path string) (publish.SegmentFile, error) {
	if err := d.create.ask(); err != nil {
		return nil, err
	}
	f, err := publish.CreateSegment(path)
	return diskFile{f, d}, err
}

type diskFile struct {
	publish.SegmentFile
	d *disk
}

func (f diskFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.d.write.ask(); err != nil {
		n, _ := f.SegmentFile.WriteAt(p[:len(p)/2], offset) // a disk fails half way
		return n, err
	}
	return f.SegmentFile.WriteAt(p, offset)
}

func (f diskFile) Sync() error {
	f.d.syncs.Add(1)
	if err := f.d.sync.ask(); err != nil {
		return err
	}
	return f.SegmentFile.Sync()
}

func (f diskFile) Truncate(size int64) error {
	if err := f.d.cut.ask(); err != nil {
		return err
	}
	return f.SegmentFile.Truncate(size)
}

// faulty opens an outbox on a disk with faults.
func faulty(t *testing.T, nc *nats.Conn, options publish.OutboxOptions, d *disk) *publish.Outbox {
	t.Helper()
	b, err := publisher(t, nc, publish.Options{Timeout: time.Minute, TryTimeout: 5 * time.Second}).OpenOutboxOn(options, d.open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(t, b) })
	return b
}

func fails() error { return errFault }

func TestFailingDiskIsToldAndHealsWithoutLossOrDamage(t *testing.T) {
	cases := map[string]func(d *disk) []*fault{
		"create":                 func(d *disk) []*fault { return []*fault{&d.create} },
		"write":                  func(d *disk) []*fault { return []*fault{&d.write} },
		"sync":                   func(d *disk) []*fault { return []*fault{&d.sync} },
		"write and cut":          func(d *disk) []*fault { return []*fault{&d.write, &d.cut} },
		"sync, also of the cut":  func(d *disk) []*fault { return []*fault{&d.sync, &d.cut} },
		"all that a disk can do": func(d *disk) []*fault { return []*fault{&d.create, &d.write, &d.sync, &d.cut} },
	}
	for name, choose := range cases {
		for _, before := range []int{0, 3} { // events in the file when the disk fails
			t.Run(fmt.Sprintf("%s after %d", name, before), func(t *testing.T) {
				nc := connect(t, server(t, nil))
				options := quick(t.TempDir())
				var told alarms
				options.Alarm = told.add
				if name == "create" {
					options.SegmentBytes = 1
				}
				d := &disk{}
				b := faulty(t, nc, options, d)
				all := logins(8)
				keep(t, b, all[:before]...)
				for _, f := range choose(d) {
					f.set(fails)
				}
				for _, e := range all[before : before+2] {
					_, err := b.Publish(t.Context(), e)
					wantError(t, err, publish.ErrOutboxDisk, true)
					if !errors.Is(err, errFault) {
						t.Errorf("error is %v, want the disk's in it", err)
					}
				}
				if s := b.Stats(); s.DiskErrors != 2 || s.Records != before || s.Stored != uint64(before) {
					t.Errorf("stats are %+v, want 2 errors and %d records", s, before)
				}
				for _, f := range choose(d) {
					f.set(nil)
				}
				keep(t, b, all[before+2:]...)
				leave(t, b)
				again := outbox(t, nc, options) // what is on disk is whole
				stream := events(t, nc, nil)
				flush(t, again)
				wantStored(t, stream, slices.Concat(idsOf(all[:before]), idsOf(all[before+2:])))
				if len(told.told()) > 0 {
					t.Errorf("alarms: %v", told.told())
				}
			})
		}
	}
}

func TestNothingOfAFailedWriteComesBackLater(t *testing.T) {
	nc := connect(t, server(t, nil))
	options := quick(t.TempDir())
	options.SegmentBytes = 900 // less than what fails: its rest would stay in the file
	d := &disk{}
	b := faulty(t, nc, options, d)
	begin, calls := make(chan struct{}), 0
	d.sync.set(func() error { // the first one holds, so that the second is of several
		<-begin
		if calls++; calls == 2 {
			return errFault
		}
		return nil
	})
	var all sync.WaitGroup
	first := make(chan error, 1)
	go func() {
		_, err := b.Publish(t.Context(), login("first"))
		first <- err
	}()
	waiting(t, b, 1)
	testsystem.Until(t, "the first is being written", func() error {
		if d.syncs.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	for _, e := range logins(8) {
		all.Go(func() {
			if _, err := b.Publish(t.Context(), e); !errors.Is(err, publish.ErrOutboxDisk) {
				t.Errorf("error is %v, want %v", err, publish.ErrOutboxDisk)
			}
		})
	}
	waiting(t, b, 9)
	close(begin)
	all.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	later := logins(12)
	for i := range later { // of other lengths, so that they cover no record exactly
		later[i].ID += strings.Repeat("x", 7)
	}
	keep(t, b, later...)
	leave(t, b)
	again := outbox(t, nc, options)
	stream := events(t, nc, nil)
	flush(t, again)
	wantStored(t, stream, append([]string{"first"}, idsOf(later)...))
}

// waiting waits until n events are in an outbox.
func waiting(t *testing.T, b *publish.Outbox, n int) {
	t.Helper()
	testsystem.Until(t, fmt.Sprintf("%d events wait", n), func() error {
		if s := b.Stats(); s.Records != n {
			return fmt.Errorf("%d wait", s.Records)
		}
		return nil
	})
}

func TestFailedWriteThatCouldNotBeCutOffCostsNoConfirmedEvent(t *testing.T) {
	nc := connect(t, server(t, nil))
	options := quick(t.TempDir())
	d := &disk{}
	b := faulty(t, nc, options, d)
	all := logins(4)
	keep(t, b, all[:3]...)
	d.write.set(fails)
	d.cut.set(fails)
	_, err := b.Publish(t.Context(), all[3])
	wantError(t, err, publish.ErrOutboxDisk, true)
	leave(t, b) // the process ends with half a record in the file
	again := outbox(t, nc, options)
	stream := events(t, nc, nil)
	flush(t, again)
	wantStored(t, stream, idsOf(all[:3]))
}

func TestDiskThatHangsHoldsUpNoCallerLongerThanItsDeadline(t *testing.T) {
	nc := connect(t, server(t, nil))
	d := &disk{}
	released := make(chan struct{})
	hanging := make(chan struct{}, 1)
	d.sync.set(func() error {
		select {
		case hanging <- struct{}{}:
		default:
		}
		<-released
		return nil
	})
	options := quick(t.TempDir())
	b, err := publisher(t, nc, publish.Options{Timeout: 300 * time.Millisecond}).OpenOutboxOn(options, d.open)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Publish(t.Context(), login("e-1")) // hangs in its sync
	wantError(t, err, publish.ErrTimeout, true)
	<-hanging
	_, err = b.Publish(t.Context(), login("e-2")) // waits for the other: is taken back
	wantError(t, err, publish.ErrTimeout, false)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	_, err = b.Publish(ctx, login("e-3"))
	if !errors.Is(err, publish.ErrCanceled) && !errors.Is(err, publish.ErrTimeout) {
		t.Errorf("error is %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Publish(gone, login("e-4"))
	wantError(t, err, publish.ErrCanceled, false)
	if err := b.Close(gone); !errors.Is(err, publish.ErrOutboxDisk) {
		t.Errorf("error of Close is %v, want %v", err, publish.ErrOutboxDisk)
	}
	close(released)
	testsystem.Until(t, "the outbox has stopped", func() error {
		if err := b.Close(gone); errors.Is(err, publish.ErrOutboxDisk) {
			return err
		}
		return nil
	})
	if s := b.Stats(); s.Records != 1 || s.Stored != 1 {
		t.Errorf("stats are %+v, want the first event only, which the disk took in the end", s)
	}
}

func TestLoginsAtTheSameTimeShareASync(t *testing.T) {
	const n = 200
	nc := connect(t, server(t, nil))
	d := &disk{}
	b := faulty(t, nc, quick(t.TempDir()), d)
	keep(t, b, login("first"))
	begin := make(chan struct{})
	d.sync.set(func() error { <-begin; return nil })
	before := d.syncs.Load()
	var all sync.WaitGroup
	for _, e := range logins(n) {
		all.Go(func() {
			if receipt, err := b.Publish(t.Context(), e); err != nil || !receipt.InOutbox {
				t.Errorf("receipt %+v, error %v", receipt, err)
			}
		})
	}
	waiting(t, b, n+1)
	close(begin)
	all.Wait()
	if syncs := d.syncs.Load() - before; syncs > 2 {
		t.Errorf("%d events took %d syncs, want one for the first and one for all others", n, syncs)
	}
	stream := events(t, nc, nil)
	flush(t, b)
	if got := messages(t, stream); got != n+1 {
		t.Errorf("the stream holds %d events, want %d", got, n+1)
	}
}

func TestFileThatCannotBeReadOrRemovedIsToldAndTriedAgain(t *testing.T) {
	nc := connect(t, server(t, nil))
	var told alarms
	options := quick(t.TempDir())
	options.SegmentBytes, options.Alarm = 1, told.add
	b := outbox(t, nc, options)
	all := logins(3)
	keep(t, b, all...)
	second := files(t, options.Dir, "segment-*2.v1")[0]
	away := filepath.Join(t.TempDir(), "away")
	if err := errors.Join( // a directory can be opened, not read; exchanged at once, for a missing file is lost
		os.Link(second, away), os.Symlink(t.TempDir(), away+"-dir"), os.Rename(away+"-dir", second),
	); err != nil {
		t.Fatal(err)
	}
	stream := events(t, nc, nil)
	testsystem.Until(t, "it is told", func() error {
		if len(told.told()) == 0 {
			return errors.New("nothing is told")
		}
		return nil
	})
	if err := told.told()[0]; !strings.Contains(err.Error(), "read outbox: ") || b.Stats().LastError == nil {
		t.Errorf("the alarm is %v", err)
	}
	if err := os.Rename(away, second); err != nil {
		t.Fatal(err)
	}
	flush(t, b)
	wantStored(t, stream, idsOf(all))
}
