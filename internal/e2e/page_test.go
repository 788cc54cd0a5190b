package e2e

import (
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/internal/uitest"
)

var shots = flag.String("shots", "", "write pictures of the page into this `folder`")

// TestAnEventGoesFromThePlainNATSClientToThePage is the whole way, seen by a
// person: publish, sign in by the link that serve prints, click a user, click a
// row.
func TestAnEventGoesFromThePlainNATSClientToThePage(t *testing.T) {
	system := testsystem.Serve(t, "loginaudit", filepath.Join(t.TempDir(), "data"), "--engine-memory", "1GiB")
	nc, err := nats.Connect(system.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)
	for _, message := range []string{
		fmt.Sprintf(`{"id":"e1","account":"acme","username":"ann","occurred_at":%q,"entry":7,"status":21,"session_id":"s1","ip":"198.51.100.7"}`, at),
		`{"id":"bad"`, // parked, and nobody waits for it
		fmt.Sprintf(`{"id":"e2","account":"acme","username":"bob","occurred_at":%q,"entry":1,"status":22}`, at),
	} {
		if _, err := js.Publish("login.events.acme.mfa", []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	system.Until(t, "both users are answered", func() error {
		var users struct{ Users []any }
		system.Ask(t, "/api/v1/accounts/acme/users", &users)
		if len(users.Users) != 2 {
			return fmt.Errorf("%d users", len(users.Users))
		}
		return nil
	})

	link := regexp.MustCompile(`http://\S+/sign-in\?code=\S+`).FindString(system.Out())
	tab := uitest.Open(t).Tab(t, uitest.Options{})
	tab.Go(link)
	if status := tab.Follow("main button"); status != 200 {
		t.Fatalf("signed in: status %d at %s", status, tab.Address())
	}
	if row := tab.Text(".rows tbody tr:nth-child(1)"); !strings.Contains(row, "ann") || !strings.Contains(row, "Yes") {
		t.Errorf("the first row of users says %q", row)
	}
	if *shots != "" {
		tab.Screenshot(filepath.Join(*shots, "e2e-users.png"), false)
	}
	tab.Follow(".rows tbody tr:nth-child(1) th a")
	if got := tab.Text("h1"); got != "ann" {
		t.Errorf("the history is of %q", got)
	}
	tab.FollowAt(".rows tbody tr:nth-child(1) td:last-child")
	if got := tab.Text("main"); !strings.Contains(got, "198.51.100.7") || !strings.Contains(got, "Login successful MFA") {
		t.Errorf("the details say %q", got)
	}
	if *shots != "" {
		tab.Screenshot(filepath.Join(*shots, "e2e-details.png"), false)
	}
	for _, problem := range tab.Problems() {
		t.Error(problem)
	}
}
