package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
)

// NATSUser is one of the three users of the embedded NATS server.
type NATSUser string

const (
	// UserPublisher publishes events and is told that they are stored.
	UserPublisher NATSUser = "publisher"
	// UserIngest fetches events, acknowledges them, and parks the invalid ones.
	UserIngest NATSUser = "ingest"
	// UserOperator makes and changes streams and consumers, and reads, replays
	// and discards parked messages.
	UserOperator NATSUser = "operator"
)

// NATSUsers lists the users in a fixed order.
func NATSUsers() []NATSUser { return []NATSUser{UserPublisher, UserIngest, UserOperator} }

// InboxPrefix returns what a client that signs in as the user must give as
// nats.CustomInboxPrefix: ingest and operator share an account and have inboxes
// of their own in it, since what they fetch arrives there. Publishers have
// accounts of their own and keep the client's default.
func (u NATSUser) InboxPrefix() string {
	if u == UserPublisher {
		return "_INBOX"
	}
	return "_INBOX_" + string(u)
}

// loadSeeds reads the seed of each user, makes the ones that are missing, and
// returns the public keys.
func loadSeeds(files map[NATSUser]string) (map[NATSUser]string, error) {
	keys := map[NATSUser]string{}
	for _, user := range NATSUsers() {
		public, err := loadSeed(files[user])
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", user, err)
		}
		keys[user] = public
	}
	return keys, nil
}

func loadSeed(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSeed(path)
	}
	if err != nil {
		return "", fmt.Errorf("read seed: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return "", fmt.Errorf("make seed private: %w", err)
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(raw))))
	if err != nil {
		return "", fmt.Errorf("read seed %s: %w (remove the file to have a new one made)", path, err)
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("read seed %s: %w", path, err)
	}
	if !nkeys.IsValidPublicUserKey(public) {
		return "", fmt.Errorf("read seed %s: it is not the key of a user (remove the file to have a new one made)", path)
	}
	return public, nil
}

func makeSeed(path string) (string, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make folder of seed: %w", err)
	}
	if err := writePrivate(path, append(seed, '\n')); err != nil {
		return "", fmt.Errorf("keep seed: %w", err)
	}
	return pair.PublicKey()
}
