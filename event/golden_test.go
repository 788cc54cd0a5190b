package event

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// eachMessage runs a subtest for each message of a folder of testdata.
func eachMessage(t *testing.T, folder string, test func(t *testing.T, body []byte, golden string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find messages: %d, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			test(t, read(t, file), strings.TrimSuffix(file, ".json")+".golden")
		})
	}
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(read(t, file)); got != want {
		t.Errorf("%s\n got %s\nwant %s", file, got, want)
	}
}

// Each golden file holds the identity, the canonical form of the message as it
// came, and the message that Encode makes of its event.
func TestValidMessagesHaveTheirGoldenIdentity(t *testing.T) {
	eachMessage(t, "valid", func(t *testing.T, body []byte, golden string) {
		e, hash, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := Canonical(body)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, golden, fmt.Sprintf("%s\n%s\n%s\n", hash, canonical, encoded))
		checkAgreement(t, body, hash)
	})
}

// checkAgreement proves that the ways to an identity agree.
func checkAgreement(t *testing.T, body []byte, hash Hash) {
	t.Helper()
	canonical, err := Canonical(body)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ContentHash(body); err != nil || again != hash {
		t.Errorf("ContentHash = %s, %v; Decode says %s", again, err, hash)
	}
	if again, err := Canonical(canonical); err != nil || !bytes.Equal(again, canonical) {
		t.Errorf("the canonical form is not its own: %s, %v", again, err)
	}
	if again := sum(canonical); again != hash {
		t.Errorf("the canonical form hashes to %s; Decode says %s", again, hash)
	}
}

// Each golden file holds the reason, the field and the sentence.
func TestInvalidMessagesHaveTheirGoldenReason(t *testing.T) {
	eachMessage(t, "invalid", func(t *testing.T, body []byte, golden string) {
		e, hash, err := Decode(body)
		wrong := asReason(t, err)
		if e.ID != "" || hash != (Hash{}) {
			t.Errorf("Decode gave an event with its error: %+v %s", e, hash)
		}
		name := strings.TrimSuffix(filepath.Base(golden), ".golden")
		if !strings.HasPrefix(name, string(wrong.Reason)) && !strings.HasPrefix(name, "duplicate_") {
			t.Errorf("reason %s", wrong.Reason)
		}
		compareGolden(t, golden, fmt.Sprintf("%s\n%s\n%s\n", wrong.Reason, wrong.Field, wrong))
	})
}

// asReason demands an *Error that keeps the promises of its type.
func asReason(t testing.TB, err error) *Error {
	t.Helper()
	var wrong *Error
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v is no *Error", err)
	}
	if wrong.Reason.Rule() == "" {
		t.Errorf("reason %q is not in the set", wrong.Reason)
	}
	if wrong.Field != "" && wrong.Field != "subject" && fieldOf(wrong.Field) == fieldUnknown {
		t.Errorf("field %q is not in the set", wrong.Field)
	}
	sentence := wrong.Error()
	if len(sentence) > 400 || strings.ContainsFunc(sentence, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the sentence is not short printable ASCII: %q", sentence)
	}
	return wrong
}

// outside are the rules that no message alone can break.
func outside() map[Reason]error {
	e := exampleEvent()
	reserved := e
	reserved.Unknown = raw("status", `1`)
	return map[Reason]error{
		ReasonReservedMember:  reserved.Validate(),
		ReasonSubjectMismatch: e.CheckSubject("login.events.other.login"),
		ReasonKindMismatch:    e.CheckSubject("login.events.acme.mfa"),
		ReasonTooFarAhead:     e.CheckReceived(e.OccurredAt.Add(-MaxAhead - 1)),
	}
}

func TestEveryReasonHasACase(t *testing.T) {
	seen := map[Reason]bool{}
	for reason, err := range outside() {
		if got := asReason(t, err).Reason; got != reason {
			t.Errorf("got %s, want %s", got, reason)
		}
		seen[reason] = true
	}
	eachMessage(t, "invalid", func(t *testing.T, body []byte, _ string) {
		_, _, err := Decode(body)
		seen[asReason(t, err).Reason] = true
	})
	for _, reason := range Reasons() {
		if !seen[reason] {
			t.Errorf("reason %s has no case", reason)
		}
	}
	if len(seen) != len(Reasons()) {
		t.Errorf("%d reasons seen, %d listed", len(seen), len(Reasons()))
	}
}
