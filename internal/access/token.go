package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// tokenPrefix tells people and secret scanners what they have found.
const tokenPrefix = "la_admin_"

// tokenForm: at least 32 characters of base64url, 192 bits, after the prefix.
var tokenForm = regexp.MustCompile(`^` + tokenPrefix + `[A-Za-z0-9_-]{32,256}$`)

// AdminToken is the API token with every right on every account.
type AdminToken struct {
	secret string
	hash   [sha256.Size]byte
}

// NewAdminToken makes a token from 256 random bits.
func NewAdminToken() AdminToken {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the program ends where there is no randomness
	return adminToken(tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

func adminToken(secret string) AdminToken {
	return AdminToken{secret: secret, hash: sha256.Sum256([]byte(secret))}
}

// ParseAdminToken checks the form of a token: the prefix la_admin_ and 32 to
// 256 characters of A-Za-z0-9_-. Its errors do not repeat the token.
func ParseAdminToken(secret string) (AdminToken, error) {
	if !tokenForm.MatchString(secret) {
		return AdminToken{}, fmt.Errorf("parse admin token: must be %s and 32 to 256 characters of A-Za-z0-9_-", tokenPrefix)
	}
	return adminToken(secret), nil
}

// ReadAdminToken reads the token in a file that somebody else provides, such
// as a mounted secret; who else may read the file is their business. White
// space around the token is dropped.
func ReadAdminToken(path string) (AdminToken, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return AdminToken{}, fmt.Errorf("read admin token: %w", err)
	}
	t, err := ParseAdminToken(strings.TrimSpace(string(b)))
	if err != nil {
		return AdminToken{}, fmt.Errorf("read admin token: %s: %w; remove the file to have a new one made", path, err)
	}
	return t, nil
}

// OpenAdminToken reads the token in the file, or makes one where there is no
// file, with mode 0600. A file that others than its owner may read or write
// is refused. Of several processes that make one at once, one wins and all
// return its token.
func OpenAdminToken(path string) (AdminToken, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := createAdminToken(path); err != nil {
			return AdminToken{}, fmt.Errorf("create admin token: %w", err)
		}
	case err != nil:
		return AdminToken{}, fmt.Errorf("open admin token: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return AdminToken{}, fmt.Errorf("open admin token: %s has mode %04o, so others may know the token; "+
			"remove the file to have a new one made, or chmod 600 it", path, info.Mode().Perm())
	}
	return ReadAdminToken(path)
}

// createAdminToken writes the whole token aside first, so that nobody ever
// reads half of one, and links it, which fails where the file exists by now.
func createAdminToken(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".admin.token-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(NewAdminToken().secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Secret is the token itself, for who must present it.
func (t AdminToken) Secret() string { return t.secret }

// String hides the token from logs.
func (t AdminToken) String() string { return tokenPrefix + "…" }

// GoString hides the token from %#v.
func (t AdminToken) GoString() string { return t.String() }

// Matches reports whether presented is the token, in a time that tells
// nothing about it. Nothing matches the zero token.
func (t AdminToken) Matches(presented string) bool {
	h := sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(h[:], t.hash[:]) == 1 && t.secret != ""
}

// key derives a key for one purpose.
func (t AdminToken) key(purpose string) []byte {
	m := hmac.New(sha256.New, []byte(t.secret))
	m.Write([]byte(purpose))
	return m.Sum(nil)
}
