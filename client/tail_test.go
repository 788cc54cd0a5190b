package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/client"
)

func tailed(seq int) string {
	return fmt.Sprintf("id: %d\nevent: event\ndata: {\"id\":\"e-%d\",\ndata: \"stream_seq\":%d}\n\n", seq, seq, seq)
}

func heartbeat(seq int) string {
	return fmt.Sprintf("id: %d\nevent: watermark\ndata: {\"stream_seq\":%d}\n\n", seq, seq)
}

// tailing sends one text for each connection, and keeps what the connections
// asked for. Behind the last text the connection stays open.
func tailing(t testing.TB, texts []string, options ...client.Option) (*client.Client, *[]string) {
	t.Helper()
	asked := &[]string{}
	_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		n := len(*asked)
		*asked = append(*asked, r.Header.Get("Last-Event-ID"))
		if n < len(texts) && texts[n] == "503" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if n < len(texts) {
			_, _ = io.WriteString(w, texts[n])
		}
		_ = http.NewResponseController(w).Flush()
		if n >= len(texts)-1 {
			<-r.Context().Done()
		}
	}, options...)
	return c, asked
}

// items are the first n items of a tail, in a word each, and the error that
// ended it.
func items(ctx context.Context, c *client.Client, n int, o client.TailOptions) (all []string, err error) {
	for item, err := range c.Tail(ctx, "acme", client.EventFilter{}, o) {
		switch {
		case err != nil:
			return all, err
		case item.Event != nil:
			all = append(all, fmt.Sprintf("%s at %d", item.Event.ID, item.Seq))
		case item.Watermark != nil:
			all = append(all, fmt.Sprintf("watermark %d at %d", item.Watermark.StreamSeq, item.Seq))
		case item.Gap != nil:
			all = append(all, fmt.Sprintf("gap %d-%d %s at %d", item.Gap.FromSeq, item.Gap.ToSeq, item.Gap.Detail, item.Seq))
		}
		if len(all) == n {
			break
		}
	}
	return all, nil
}

func TestTailGoesOnAfterABreakAndGivesEachEventOnce(t *testing.T) {
	c, asked := tailing(t, []string{
		": hello\nretry: 10\n\n" + heartbeat(4) + tailed(5) + tailed(7) + "id: 8\nevent: event\ndata: {\"id\":\"cut off",
		"", "503",
		tailed(7) + tailed(8) + "event: news\ndata: of a later version\n\n" + "id: 12\nevent: gap\ndata: {\"from_seq\":9,\"to_seq\":12,\"detail\":\"slow\"}\n\n" + tailed(13),
	})
	var breaks []string
	got, err := items(t.Context(), c, 6, client.TailOptions{OnBreak: func(err error, pause time.Duration) {
		breaks = append(breaks, err.Error())
		if pause <= 0 || pause > quick().MaxPause {
			t.Errorf("pause of %s", pause)
		}
	}})
	want := []string{"watermark 4 at 4", "e-5 at 5", "e-7 at 7", "e-8 at 8", "gap 9-12 slow at 12", "e-13 at 13"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if want := []string{"", "7", "7", "7"}; !slices.Equal(*asked, want) {
		t.Errorf("it goes on at %q, want %q", *asked, want)
	}
	if len(breaks) != 3 || !strings.Contains(breaks[0], "ended the tail") || !strings.Contains(breaks[2], "503") {
		t.Errorf("breaks: %q", breaks)
	}
}

// Sequences begin again where the stream was made anew: while the tail runs the
// server just goes on, and to one that comes back it tells a gap.
func TestTailFollowsAStreamThatIsMadeAnew(t *testing.T) {
	gap := "id: 2\nevent: gap\ndata: {\"from_seq\":1,\"to_seq\":2,\"detail\":\"anew\"}\n\n"
	c, asked := tailing(t, []string{"retry: 10\n" + tailed(8) + tailed(9) + tailed(1) + tailed(9), gap + tailed(3) + tailed(1)})
	got, err := items(t.Context(), c, 7, client.TailOptions{})
	want := []string{"e-8 at 8", "e-9 at 9", "e-1 at 1", "e-9 at 9", "gap 1-2 anew at 2", "e-3 at 3", "e-1 at 1"}
	if err != nil || !slices.Equal(got, want) || !slices.Equal(*asked, []string{"", "9"}) {
		t.Errorf("%q behind %q, %v", got, *asked, err)
	}
}

func TestTailBeginsWhereItIsTold(t *testing.T) {
	c, asked := tailing(t, []string{tailed(3) + tailed(4)})
	got, err := items(t.Context(), c, 1, client.TailOptions{After: new(uint64(3))})
	if err != nil || !slices.Equal(got, []string{"e-4 at 4"}) || (*asked)[0] != "3" {
		t.Errorf("%q behind %q, %v", got, *asked, err)
	}
	c, asked = tailing(t, []string{tailed(1)})
	if _, err := items(t.Context(), c, 1, client.TailOptions{After: new(uint64(0))}); err != nil || (*asked)[0] != "0" {
		t.Errorf("from the beginning: %q, %v", *asked, err)
	}
}

func TestTailThatFallsSilentIsTakenUpAgain(t *testing.T) {
	var connections atomic.Int32
	_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, tailed(int(connections.Add(1))))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, client.WithSilence(50*time.Millisecond))
	if got, err := items(t.Context(), c, 2, client.TailOptions{}); err != nil || len(got) != 2 || connections.Load() != 2 {
		t.Errorf("%q over %d connections, %v", got, connections.Load(), err)
	}
}

// silence lasts until the same silence has broken another tail.
func silence(t testing.TB, d time.Duration) {
	t.Helper()
	c, _ := tailing(t, []string{heartbeat(1)}, client.WithSilence(d))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := items(ctx, c, 2, client.TailOptions{OnBreak: func(error, time.Duration) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// The time that the reader takes is not the server's silence.
func TestTailWaitsForASlowReader(t *testing.T) {
	more, connections := make(chan struct{}), 0
	_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		connections++
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, tailed(1))
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, tailed(2))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, client.WithSilence(50*time.Millisecond))
	n := 0
	for _, err := range c.Tail(t.Context(), "acme", client.EventFilter{}, client.TailOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
		silence(t, 50*time.Millisecond)
		close(more)
	}
	if connections != 1 {
		t.Errorf("%d connections", connections)
	}
}

func TestTailEndsWhenTheServerRefusesForGood(t *testing.T) {
	for name, begin := range map[string]string{"at first": "", "later": tailed(1)} {
		_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if begin != "" && r.Header.Get("Last-Event-ID") == "" {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, begin)
				return
			}
			answerProblem(w, http.StatusForbidden, `{"type":"/problems/forbidden","title":"Forbidden"}`)
		})
		if _, err := items(t.Context(), c, 9, client.TailOptions{}); !client.IsDenied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTailThatNeverBeganIsTriedAsOftenAsEveryQuestion(t *testing.T) {
	var tries atomic.Int32
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		tries.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	})
	if _, err := items(t.Context(), c, 9, client.TailOptions{}); !client.IsUnavailable(err) || tries.Load() != 4 {
		t.Errorf("%d tries: %v", tries.Load(), err)
	}
	_, c = answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{}`) })
	if _, err := items(t.Context(), c, 9, client.TailOptions{}); !errors.Is(err, client.ErrNotAPI) {
		t.Errorf("another answer: %v", err)
	}
}

func TestTailEndsWithWhatItCannotRead(t *testing.T) {
	for _, text := range []string{"id: 1\nevent: event\ndata: nonsense\n\n", "data: " + strings.Repeat("x", 2<<20) + "\n\n"} {
		c, asked := tailing(t, []string{text})
		if got, err := items(t.Context(), c, 9, client.TailOptions{}); err == nil || len(got) != 0 || len(*asked) != 1 {
			t.Errorf("%.20q: %q, %v", text, got, err)
		}
	}
}

func TestTailEndsWithItsContext(t *testing.T) {
	c, _ := tailing(t, []string{tailed(1)})
	ctx, cancel := context.WithCancel(t.Context())
	var last error
	for _, err := range c.Tail(ctx, "acme", client.EventFilter{}, client.TailOptions{}) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("while it reads: %v", last)
	}
	ctx, cancel = context.WithCancel(t.Context())
	c, _ = tailing(t, []string{tailed(1), "503"}, client.WithRetry(client.Retry{Tries: 2, Pause: time.Hour, MaxPause: time.Hour}))
	_, err := items(ctx, c, 9, client.TailOptions{OnBreak: func(error, time.Duration) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("while it waits: %v", err)
	}
}
