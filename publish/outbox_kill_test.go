package publish_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

const (
	killedProgram = "outbox-killed"
	killedUsers   = 3
)

// publishUntilKilled is an auth service: users log in one after the other, all
// users at the same time, and each time that Publish tells success a line says
// so. Its arguments are the server, the directory, and the first number of each
// user. It goes on until it is killed; told 0 users, it delivers what is left.
func publishUntilKilled(args []string) int {
	err := func() error {
		nc, err := nats.Connect(args[0], nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond))
		if err != nil {
			return err
		}
		defer nc.Close()
		p, err := publish.New(nc, publish.Options{Timeout: 30 * time.Second, TryTimeout: time.Second})
		if err != nil {
			return err
		}
		options := quick(args[1])
		options.SegmentBytes = 2000 // many files
		options.Alarm = func(err error) { fmt.Fprintln(os.Stderr, "alarm:", err) }
		b, err := p.OpenOutbox(options)
		if err != nil {
			return err
		}
		var users sync.WaitGroup
		for user, first := range args[2:] {
			n, err := strconv.Atoi(first)
			if err != nil {
				return err
			}
			users.Go(func() { logIn(b, user, n) })
		}
		users.Wait()
		return b.Close(context.Background())
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// logIn publishes for ever.
func logIn(b *publish.Outbox, user, n int) {
	for ; ; n++ {
		receipt, err := b.Publish(context.Background(), killedLogin(user, n))
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return
		}
		fmt.Printf("%d %d %t\n", user, n, receipt.InOutbox)
	}
}

func killedLogin(user, n int) event.Event {
	e := login(fmt.Sprintf("u%d-%06d", user, n))
	e.Username = fmt.Sprintf("user%d", user)
	return e
}

// tally is what the killed processes told.
type tally struct {
	told     [killedUsers]int // the last number of each user
	inOutbox int
}

// read takes the complete lines that a process wrote.
func (k *tally) read(t *testing.T, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		var user, n int
		var inOutbox bool
		if _, err := fmt.Sscanf(line, "%d %d %t\n", &user, &n, &inOutbox); err != nil || !strings.HasSuffix(line, "\n") {
			continue // cut by the kill
		}
		if n != k.told[user]+1 {
			t.Fatalf("user %d was told %d after %d", user, n, k.told[user])
		}
		k.told[user] = n
		if inOutbox {
			k.inOutbox++
		}
	}
}

func (k *tally) arguments(url, dir string) []string {
	args := []string{url, dir}
	for _, n := range k.told {
		args = append(args, strconv.Itoa(n+1))
	}
	return args
}

// TestEverythingThatAKilledProcessWasToldIsStoredArrivesOnceAndInOrder kills
// publishers with kill -9 at random moments, while the server goes up and down.
// The next process publishes from the first event on that the killed one was
// not told of, as an auth service would.
func TestEverythingThatAKilledProcessWasToldIsStoredArrivesOnceAndInOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := newPipeline(t)
	nc := connect(t, p.s)
	events(t, nc, nil)
	nc.Close()
	url, dir := p.s.ClientURL(), t.TempDir()
	var k tally
	up := true
	for range 14 {
		process := start(t, killedProgram, k.arguments(url, dir)...)
		for range random.IntN(3) { // the server changes its mind while the process runs
			waitForLines(t, process, random.IntN(60))
			up = toggle(p, up)
		}
		waitForLines(t, process, 1+random.IntN(60))
		process.Kill(t)
		k.read(t, process.Out())
		checkLog(t, process)
	}
	if !up {
		p.restart()
	}
	last := start(t, killedProgram, url, dir) // publishes nothing, delivers the rest
	if status := last.Wait(t); status != 0 {
		t.Fatalf("the last process ended with %d: %s", status, last.Err())
	}
	checkLog(t, last)
	if k.inOutbox == 0 {
		t.Error("nothing went through the outbox: the test shows nothing")
	}
	t.Logf("told: %v, of these through the outbox: %d", k.told, k.inOutbox)
	checkStream(t, stored(t, eventsStream(t, p.s)), k.told)
}

func toggle(p *pipeline, up bool) bool {
	if up {
		p.stop()
	} else {
		p.restart()
	}
	return !up
}

// waitForLines waits until the process has told of n more events.
func waitForLines(t *testing.T, process *testsystem.Process, n int) {
	t.Helper()
	want := strings.Count(process.Out(), "\n") + n
	process.Until(t, "it publishes", func() error {
		if got := strings.Count(process.Out(), "\n"); got < want {
			return fmt.Errorf("%d lines of %d", got, want)
		}
		return nil
	})
}

// checkLog finds errors and alarms, of which there must be none: a kill alone
// damages nothing. A torn end is none.
func checkLog(t *testing.T, process *testsystem.Process) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(process.Err())); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "error:") || strings.HasPrefix(line, "alarm:") && !strings.Contains(line, "torn end") {
			t.Error(line)
		}
	}
}

// checkStream compares the stream with what was told: of each user the numbers
// from 1 on, each once and in order, and none missing that was told.
func checkStream(t *testing.T, ids []string, told [killedUsers]int) {
	t.Helper()
	var of [killedUsers][]int
	for _, id := range ids {
		var user, n int
		if _, err := fmt.Sscanf(id, "u%d-%06d", &user, &n); err != nil {
			t.Fatal(errors.Join(errors.New(id), err))
		}
		of[user] = append(of[user], n)
	}
	for user, numbers := range of {
		want := make([]int, max(told[user], len(numbers)))
		for i := range want {
			want[i] = i + 1
		}
		if !slices.Equal(numbers, want) {
			t.Errorf("user %d was told of %d events, and the stream has %v", user, told[user], numbers)
		}
	}
}
