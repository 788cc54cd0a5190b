package publish_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// alter changes the one segment file of an outbox.
func alter(t *testing.T, dir string, how func(data []byte) []byte) {
	t.Helper()
	paths := files(t, dir, "segment-*.v1")
	if len(paths) != 1 {
		t.Fatalf("segments are %v, want one", paths)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths[0], how(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// rot alters one byte within an event.
func rot(id string) func([]byte) []byte {
	return func(data []byte) []byte {
		data[bytes.Index(data, []byte(id))+1] ^= 0x10
		return data
	}
}

// cut ends the file within an event.
func cut(id string) func([]byte) []byte {
	return func(data []byte) []byte {
		before, _, _ := bytes.Cut(data, []byte(id))
		return before
	}
}

// damages are what an outbox told of damage.
func damages(t *testing.T, told *alarms) []publish.Damage {
	t.Helper()
	var all []publish.Damage
	for _, err := range told.told() {
		var d *publish.Damage
		if !errors.As(err, &d) {
			t.Errorf("an alarm is %v, want damage only", err)
			continue
		}
		if d.Bytes <= 0 || d.Error() == "" {
			t.Errorf("damage is told as %+v", d)
		}
		all = append(all, *d)
	}
	return all
}

func TestDamagedEventIsToldAndKeptAndTheOthersAreDelivered(t *testing.T) {
	all := logins(6)
	cases := map[string]struct {
		alter func([]byte) []byte
		lost  []int
	}{
		"in the middle":       {rot(all[3].ID), []int{3}},
		"in the first":        {rot(all[0].ID), []int{0}},
		"two places":          {func(data []byte) []byte { return rot(all[1].ID)(rot(all[4].ID)(data)) }, []int{1, 4}},
		"two in a row":        {func(data []byte) []byte { return rot(all[1].ID)(rot(all[2].ID)(data)) }, []int{1, 2}},
		"a length":            {func(data []byte) []byte { data[2] ^= 1; return data }, []int{0}},
		"while it is running": {rot(all[3].ID), []int{3}},
		"at the end, running": {rot(all[5].ID), []int{5}},
		"cut while running":   {cut(all[4].ID), []int{4, 5}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, server(t, nil))
			dir := t.TempDir()
			var told alarms
			options := quick(dir)
			options.Alarm = told.add
			b := outbox(t, nc, options)
			keep(t, b, all...)
			if strings.Contains(name, "running") {
				// The delivery has read it into memory: begin anew, then alter.
				leave(t, b)
				b = reopened(t, nc, options, c.alter)
			} else {
				leave(t, b)
				alter(t, dir, c.alter)
				b = outbox(t, nc, options)
			}
			stream := events(t, nc, nil)
			flush(t, b)
			want := idsOf(all)
			for _, i := range slices.Backward(c.lost) {
				want = slices.Delete(want, i, i+1)
			}
			wantStored(t, stream, want)
			lost := uint64(0)
			for _, d := range damages(t, &told) {
				lost += d.Records
			}
			if s := b.Stats(); lost != uint64(len(c.lost)) || s.Damaged != lost || s.Records != 0 || s.Bytes != 0 {
				t.Errorf("told as lost are %d, want %d; stats are %+v", lost, len(c.lost), s)
			}
			if err := b.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if kept := files(t, dir, "segment-*.damaged"); len(kept) != 1 {
				t.Errorf("kept are %v, want the damaged file", kept)
			}
		})
	}
}

// reopened opens an outbox whose file is altered after the outbox has looked at
// it and before it is read for delivery.
func reopened(t *testing.T, nc *nats.Conn, options publish.OutboxOptions, how func([]byte) []byte) *publish.Outbox {
	t.Helper()
	// An alarm holds the delivery until the file is altered: a damaged cursor raises one.
	if err := os.WriteFile(filepath.Join(options.Dir, "cursor"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	altered := make(chan struct{})
	tell := options.Alarm
	options.Alarm = func(err error) {
		<-altered
		if strings.Contains(err.Error(), "everything in the outbox is sent again") {
			return
		}
		tell(err)
	}
	b := outbox(t, nc, options)
	alter(t, options.Dir, how)
	close(altered)
	return b
}

func TestTornEndIsCutOffAndToldAndNothingElseIsLost(t *testing.T) {
	all := logins(4)
	tails := map[string][]byte{
		"zeros":           make([]byte, 100),
		"half of a head":  {90, 0, 0},
		"head without it": {90, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7},
		"something else":  bytes.Repeat([]byte("x"), 5000),
	}
	for name, tail := range tails {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, server(t, nil))
			var told alarms
			options := quick(t.TempDir())
			options.Alarm = told.add
			first := outbox(t, nc, options)
			keep(t, first, all[:3]...)
			leave(t, first)
			alter(t, options.Dir, func(data []byte) []byte { return append(data, tail...) })
			second := outbox(t, nc, options)
			keep(t, second, all[3])
			leave(t, second)
			third := outbox(t, nc, options)
			stream := events(t, nc, nil)
			flush(t, third)
			wantStored(t, stream, idsOf(all))
			found := damages(t, &told)
			if len(found) != 1 || !found[0].Torn || found[0].Bytes != int64(len(tail)) || found[0].Records != 0 {
				t.Errorf("told is %+v, want one torn end of %d bytes", found, len(tail))
			}
		})
	}
}

func TestDamageBetweenFilesIsTold(t *testing.T) {
	all := logins(5)
	cases := map[string]func(path string) error{
		"a file is gone": os.Remove,
		"a file is of no use": func(path string) error {
			return os.WriteFile(path, []byte("nothing that anybody could read"), 0o600)
		},
	}
	for name, harm := range cases {
		for _, running := range []bool{false, true} {
			nc := connect(t, server(t, nil))
			var told alarms
			options := quick(t.TempDir())
			options.SegmentBytes, options.Alarm = 1, told.add // a file an event
			first := outbox(t, nc, options)
			keep(t, first, all...)
			if !running {
				leave(t, first)
			} // else it has read the first file at most, and waits with it
			if err := harm(files(t, options.Dir, "segment-*3.v1")[0]); err != nil {
				t.Fatal(err)
			}
			b := first
			if !running {
				b = outbox(t, nc, options)
			}
			stream := events(t, nc, nil)
			flush(t, b)
			wantStored(t, stream, []string{all[0].ID, all[1].ID, all[3].ID, all[4].ID})
			if s := b.Stats(); s.Damaged != 1 || s.Records != 0 || s.Bytes != 0 {
				t.Errorf("%s: stats are %+v, want one lost", name, s)
			}
		}
	}
}

func TestDamageOfTheFileThatIsBeingWrittenIsToldAndTheFileIsKept(t *testing.T) {
	nc := connect(t, server(t, nil))
	var told alarms
	options := quick(t.TempDir())
	options.Alarm = told.add
	b := outbox(t, nc, options)
	all := logins(4)
	keep(t, b, all[0])
	testsystem.Until(t, "the first was read, and waits", func() error {
		if b.Stats().LastError == nil {
			return errors.New("it was not sent")
		}
		return nil
	})
	keep(t, b, all[1:]...)
	alter(t, options.Dir, rot(all[2].ID))
	stream := events(t, nc, nil)
	flush(t, b)
	wantStored(t, stream, []string{all[0].ID, all[1].ID, all[3].ID})
	if found := damages(t, &told); len(found) != 1 || found[0].Records != 1 || found[0].Torn {
		t.Errorf("told is %+v, want one event", found)
	}
	testsystem.Until(t, "the file is kept under its other name", func() error {
		if kept := files(t, options.Dir, "segment-*"); len(kept) != 1 || !strings.HasSuffix(kept[0], ".damaged") {
			return fmt.Errorf("files are %v", kept)
		}
		return nil
	})
}

func TestPlaceOfTheDeliveryThatCannotBeWrittenIsToldAndHoldsUpNothing(t *testing.T) {
	nc := connect(t, server(t, nil))
	var told alarms
	options := quick(t.TempDir())
	options.Alarm = told.add
	if err := os.Symlink("/dev/full", filepath.Join(options.Dir, "cursor")); err != nil {
		t.Fatal(err)
	}
	b := outbox(t, nc, options)
	keep(t, b, logins(2)...)
	stream := events(t, nc, nil)
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wantStored(t, stream, idsOf(logins(2)))
	all := fmt.Sprint(told.told())
	for _, want := range []string{"sent again", "write cursor: ", "no space left", "sync cursor: "} {
		if !strings.Contains(all, want) {
			t.Errorf("alarms are %s, want %q in them", all, want)
		}
	}
}

func TestDamagedPlaceOfTheDeliveryCostsRepeatsOnly(t *testing.T) {
	nc := connect(t, server(t, nil))
	var told alarms
	options := quick(t.TempDir())
	options.Alarm = told.add
	first := outbox(t, nc, options)
	keep(t, first, logins(3)...)
	leave(t, first)
	if err := os.WriteFile(filepath.Join(options.Dir, "cursor"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	stream := events(t, nc, nil)
	second := outbox(t, nc, options)
	flush(t, second)
	wantStored(t, stream, idsOf(logins(3)))
	if all := told.told(); len(all) != 1 || !strings.Contains(all[0].Error(), "sent again") {
		t.Errorf("alarms are %v, want one of the damage", all)
	}
}
