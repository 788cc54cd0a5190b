package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// NATSUser is one of the three users of the embedded NATS server.
type NATSUser string

const (
	// UserPublisher publishes events and is told that they are stored. It is who
	// a client without a key is, on loopback.
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
// nats.CustomInboxPrefix: ingest and operator have inboxes of their own, since
// what is fetched arrives there, and the publisher, who may listen on _INBOX.>,
// must not hear it.
func (u NATSUser) InboxPrefix() string {
	if u == UserPublisher {
		return "_INBOX"
	}
	return "_INBOX_" + string(u)
}

// permissions are the rights of a user. The names are the contract's; package
// stream makes the streams and the consumer.
func permissions(user NATSUser) *natsserver.Permissions {
	var publish []string
	switch user {
	case UserPublisher:
		publish = []string{
			"login.events.>",
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.LOGIN_EVENTS",
		}
	case UserIngest:
		publish = []string{
			"login.parked.>",
			"$JS.API.INFO",
			"$JS.API.STREAM.INFO.LOGIN_EVENTS", "$JS.API.STREAM.INFO.LOGIN_PARKED",
			"$JS.API.CONSUMER.INFO.LOGIN_EVENTS.ingest", "$JS.API.CONSUMER.MSG.NEXT.LOGIN_EVENTS.ingest",
			"$JS.API.DIRECT.GET.LOGIN_EVENTS", // the time of the message at its watermark
			"$JS.ACK.LOGIN_EVENTS.ingest.>",
		}
	case UserOperator:
		publish = []string{"login.events.>", "login.parked.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>"}
	}
	return &natsserver.Permissions{
		Publish:   &natsserver.SubjectPermission{Allow: publish},
		Subscribe: &natsserver.SubjectPermission{Allow: []string{user.InboxPrefix() + ".>"}},
	}
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
