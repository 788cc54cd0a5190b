package access

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func tokenPath(t testing.TB) string { return filepath.Join(t.TempDir(), "admin.token") }

func TestAdminTokenIsMadeOnceAndForItsOwnerOnly(t *testing.T) {
	path := tokenPath(t)
	first, err := OpenAdminToken(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenAdminToken(path)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Matches(first.Secret()) {
		t.Error("the second start has another token")
	}
	if _, err := ParseAdminToken(first.Secret()); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%v is left behind, %v", files, err)
	}
}

func TestAdminTokenIsOneForAllThatMakeItAtOnce(t *testing.T) {
	path := tokenPath(t)
	secrets := make([]string, 8)
	var wg sync.WaitGroup
	for i := range secrets {
		wg.Go(func() {
			token, err := OpenAdminToken(path)
			if err != nil {
				t.Error(err)
			}
			secrets[i] = token.Secret()
		})
	}
	wg.Wait()
	for _, s := range secrets {
		if s != secrets[0] {
			t.Fatal("two processes have two tokens")
		}
	}
}

func TestAdminTokensDiffer(t *testing.T) {
	if a, b := NewAdminToken(), NewAdminToken(); a.Secret() == b.Secret() || a.Matches(b.Secret()) {
		t.Error("two tokens are the same")
	}
}

func TestAdminTokenMatchesOnlyItself(t *testing.T) {
	token := NewAdminToken()
	s := token.Secret()
	for _, wrong := range []string{"", " " + s, s + " ", s[:len(s)-1], s + "A", strings.ToUpper(s), tokenPrefix} {
		if token.Matches(wrong) {
			t.Errorf("%q matches", wrong)
		}
	}
	if !token.Matches(s) {
		t.Error("the token does not match itself")
	}
	var zero AdminToken
	if zero.Matches("") || zero.Matches(s) {
		t.Error("something matches the zero token")
	}
}

func TestAdminTokenDoesNotShowInText(t *testing.T) {
	token := NewAdminToken()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{token, &token, Config{Token: token}} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, token.Secret()) {
				t.Errorf("%s of %T shows the token", format, v)
			}
		}
	}
}

func TestAdminTokenFileThatOthersMayReadIsRefused(t *testing.T) {
	path := tokenPath(t)
	if err := os.WriteFile(path, []byte(NewAdminToken().Secret()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAdminToken(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
		if _, err := ReadAdminToken(path); err != nil {
			t.Errorf("a mounted secret with mode %v: %v", mode, err)
		}
	}
}

func TestAdminTokenFileThatHoldsNoneIsRefusedWithoutShowingIt(t *testing.T) {
	for _, text := range []string{
		"", "secret", "la_admin_", "la_admin_short", "la_user_" + strings.Repeat("a", 43),
		"la_admin_" + strings.Repeat("a", 300), "la_admin_" + strings.Repeat("é", 43), "la_admin_" + strings.Repeat("a", 43) + "\nmore",
	} {
		path := tokenPath(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenAdminToken(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: the error is %v", text, err)
			continue
		}
		if len(text) > 10 && strings.Contains(err.Error(), text) {
			t.Errorf("the error shows what the file holds: %v", err)
		}
	}
}

func TestAdminTokenThatCannotBeReadOrMadeIsAnError(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "admin.token")
	if _, err := OpenAdminToken(missing); err == nil {
		t.Error("a token is made in a directory that does not exist")
	}
	if _, err := ReadAdminToken(missing); err == nil {
		t.Error("a token is read from a file that does not exist")
	}
	file := tokenPath(t)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAdminToken(filepath.Join(file, "admin.token")); err == nil {
		t.Error("a token is made below a file")
	}
	if _, err := OpenAdminToken(t.TempDir()); err == nil {
		t.Error("a token is read from a directory")
	}
}

func TestAdminTokenIsReadWithoutTheSpaceAroundIt(t *testing.T) {
	path, token := tokenPath(t), NewAdminToken()
	if err := os.WriteFile(path, []byte("\n "+token.Secret()+" \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := OpenAdminToken(path)
	if err != nil || !got.Matches(token.Secret()) {
		t.Error("the token is not the one in the file", err)
	}
}
