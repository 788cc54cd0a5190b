package engine

import (
	"fmt"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

const (
	// maxPublishers is the most connections of each account of publishers, and
	// maxSubscriptions the most subscriptions of each such connection: one for
	// the inbox, or, in old clients, one for each request in flight.
	maxPublishers    = 1000
	maxSubscriptions = 1000
	// maxConnections leaves room for ingest and operators when both accounts of
	// publishers have all of theirs.
	maxConnections = 2*maxPublishers + 100
)

// accountsFormat is the part of the server's configuration that says who may do
// what; deploy/nats.conf is the same for a server of one's own. The names of the
// accounts are for good: JetStream keeps the streams of an account in a folder
// with its name.
//
// Publishers are not in the account of the streams, because whoever publishes
// names the subject of the answer, and the server publishes the answer in the
// publisher's account with its own rights: on a subject of JetStream's interface
// an empty answer is a request, of which "delete this stream" is one. Through a
// service import the answer comes back to the account of the publisher only,
// where nothing listens but the publishers.
//
// Nobody is in the system account, which would otherwise be one that the server
// makes up.
const accountsFormat = `
system_account: SYS
jetstream { strict: true }
accounts {
  SYS {}
  LOGINAUDIT {
    jetstream: enabled
    exports: [{ service: "login.events.>", accounts: [PUBLISHERS, ANONYMOUS] }]
    users: [%s, %s]
  }
  PUBLISHERS {
    imports: [{ service: { account: LOGINAUDIT, subject: "login.events.>" } }]
    limits { max_connections: %[4]d, max_subscriptions: %[5]d }
    users: [%[3]s]
  }
  ANONYMOUS {
    imports: [{ service: { account: LOGINAUDIT, subject: "login.events.>" } }]
    limits { max_connections: %[4]d, max_subscriptions: %[5]d }
    users: [%[6]s]
  }
}
`

// accountsConfig is the configuration of accounts and users for the public keys
// of the users and of those who have none. Without the latter, empty, nobody is
// in ANONYMOUS.
func accountsConfig(keys map[NATSUser]string, anonymous string) string {
	nobody := ""
	if anonymous != "" {
		// The rights of the publisher, in another account: what comes to the
		// inboxes of those who hold a key is not heard by those who hold none.
		nobody = userConfig(anonymous, UserPublisher)
	}
	return fmt.Sprintf(accountsFormat,
		userConfig(keys[UserIngest], UserIngest), userConfig(keys[UserOperator], UserOperator),
		userConfig(keys[UserPublisher], UserPublisher), maxPublishers, maxSubscriptions, nobody)
}

// userConfig gives the rights of user to whoever has the key.
func userConfig(key string, user NATSUser) string {
	return fmt.Sprintf(`{ nkey: %s, permissions { publish: ["%s"], subscribe: ["%s.>"] } }`,
		key, strings.Join(publishRights(user), `", "`), user.InboxPrefix())
}

// publishRights are the subjects on which a user may publish. The names are the
// contract's; package stream makes the streams and the consumer.
func publishRights(user NATSUser) []string {
	switch user {
	case UserIngest:
		return []string{
			"login.parked.>",
			"$JS.API.INFO",
			"$JS.API.STREAM.INFO.LOGIN_EVENTS", "$JS.API.STREAM.INFO.LOGIN_PARKED",
			"$JS.API.STREAM.INFO.LOGIN_PARKED_NOTES", // to count what is open; it writes no note
			"$JS.API.CONSUMER.INFO.LOGIN_EVENTS.ingest", "$JS.API.CONSUMER.MSG.NEXT.LOGIN_EVENTS.ingest",
			"$JS.API.CONSUMER.RESET.LOGIN_EVENTS.ingest", // back to what is known to be stored
			"$JS.API.DIRECT.GET.LOGIN_EVENTS",            // the time of the message at its watermark
			"$JS.API.DIRECT.GET.LOGIN_PARKED",            // whether a message is parked already
			"$JS.ACK.LOGIN_EVENTS.ingest.>",
		}
	case UserOperator:
		return []string{"login.events.>", "login.parked.>", "login.notes.>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>"}
	default: // nothing of JetStream's interface: the subjects of a stream are the names of accounts
		return []string{"login.events.>"}
	}
}

// anonymousKey is the public key of the user that clients without a key are. The
// seed is thrown away: nobody signs in by it.
func anonymousKey() (string, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("make key: %w", err)
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

// batchLimits bound the atomic batches that clients have opened and not
// committed: what they have sent of them waits on the disk, beside the streams.
// They are NATS's own defaults, on which package publish counts, but for the
// total: two streams take batches, and publishers who hold all places of theirs
// leave those of parking free.
func batchLimits() natsserver.JSLimitOpts {
	return natsserver.JSLimitOpts{
		MaxBatchInflightPerStream: 50, MaxBatchInflightTotal: 100,
		MaxBatchSize: 1000, MaxBatchTimeout: 10 * time.Second,
	}
}
