package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// An API that fails from some question on does not make the last answer untrue,
// and one that never answered is not told to be at 0.
func TestImportThatWaitsInVainTellsTheLastAnswer(t *testing.T) {
	p := newParkedPlace(t)
	for _, c := range []struct {
		name    string
		answers int64
		want    string
	}{
		{"answered-once", 1, "when the API last answered, it had the stream up to 1, the import ends at "},
		{"never-answered", 0, "the API has not told how far it is, the import ends at "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > c.answers {
					http.Error(w, "busy", http.StatusServiceUnavailable)
					return
				}
				fmt.Fprint(w, `{"watermark":{"stream_seq":1}}`)
			}))
			defer api.Close()
			now := time.Now()
			body := line("acme", c.name, "bob", 1, now) + "\n" + line("acme", c.name+"2", "bob", 1, now)
			args := append([]string{"import", "-", "--wait", "--wait-timeout", "300ms", "--url", api.URL, "--token-file", fileWith(t, "la_admin_"+strings.Repeat("0", 64))},
				p.as(t, engine.UserPublisher)...)
			r := run(t, body, "loginaudit", args...)
			if r.Status != 1 || !strings.Contains(r.Err, c.want) || !strings.Contains(r.Err, "not everything can be queried yet") {
				t.Errorf("%+v", r)
			}
		})
	}
}
