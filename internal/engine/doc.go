// Package engine runs the two servers that loginaudit needs, embedded in its
// own process tree: ClickHouse as a child process, NATS with JetStream in the
// process itself. Nothing has to be installed beside the binary but one shared
// library.
//
// # What it promises for ClickHouse
//
//   - It is a real server. Clients are ordinary native-protocol clients.
//   - It listens on loopback only, native TCP only, and knows three users with
//     generated passwords: the owner of the schema, the writer, and the reader,
//     whom the database itself confines to the account that a query names in
//     its log_comment setting (see [Tables]).
//   - Clients reach it through a door (see door.go) which checks the first
//     packet of every connection: a wrong password, an unknown database or a
//     stray HTTP request never reaches the server, which would stop at it.
//   - The address stays the same as long as the parent lives, over restarts of
//     the child too.
//   - A child that dies is started again with growing pauses.
//   - A child ends in order within seconds after its parent is gone, even by
//     kill -9: it holds the read end of a pipe whose write end only the parent
//     has. (The parent-death signal of Linux is not used on top: it is tied to
//     a thread, not to the process, and would turn an orderly stop into a kill.)
//   - One data directory belongs to one process: a lock in it is held by the
//     parent and by the child, so a new parent waits until the engine of a dead
//     one has ended.
//   - What an insert with fsync_after_insert=1 confirmed survives kill -9.
//   - Logs are rotated and hold no text of queries, system log tables are off,
//     memory and threads fit a small machine.
//   - On Linux the child sees no files but its own folder (see confine_linux.go)
//     and nothing of the parent's environment: in the library every user of the
//     database can read files by the function file(), and passwords and keys lie
//     beside that folder.
//
// # What it does not promise for ClickHouse
//
//   - The reader is confined to the account that its query names, and a query
//     can name another account for a part of itself (SETTINGS log_comment in a
//     subquery). The filters keep a statement that forgot its condition from
//     showing what is another's; they do not keep apart those who may write SQL.
//   - The reader can learn the names and columns of the tables that it may read,
//     and by EXPLAIN ESTIMATE how many rows they have.
//   - Another process on the same machine can connect to the server behind the
//     door and end it by a wrong password. It is then started again; nothing is
//     lost or shown.
//
// # What it promises for NATS
//
//   - JetStream with file storage in the data directory, every acknowledged
//     message synced to disk first, never more of the disk than a set share.
//   - Three users that prove themselves with nkeys: publisher, ingest and
//     operator, each with the rights it needs. Without a key one may publish
//     events, and only while the server listens on loopback.
//   - The streams are in the account LOGINAUDIT, with ingest and operator;
//     publishers are in PUBLISHERS, those without a key in ANONYMOUS, and reach
//     the subjects login.events.> of LOGINAUDIT through a service import. So the
//     answer to a publisher goes to publishers of the same account and nowhere
//     else, whatever subject it names for it; they have no part of JetStream's
//     interface, read no stream, and those without a key do not hear those with
//     one. The system account SYS has no user. JetStream is strict: it refuses
//     requests with fields that it does not know.
//   - The names of the accounts are for good: JetStream keeps the streams in
//     jetstream/LOGINAUDIT/streams of the data directory, and would not find
//     them under another name. It does not look into jetstream/$G, where they
//     were before there were accounts; nothing was released then.
//   - Each account of publishers has at most 1,000 connections with 1,000
//     subscriptions each, so that ingest and operator always get in.
//   - No monitoring port, no cluster, no signal handlers of its own.
//
// # What it does not promise for NATS
//
//   - Publishers of one account share their inboxes: whoever listens on _INBOX.>
//     hears the acknowledgements of the others in it (name of the stream,
//     sequence, duplicate or not), but no event. The rights of NATS cannot tell
//     the random inbox of one client from that of another; who needs more gives
//     each publisher a server user of its own, with an inbox of its own.
//   - Every publisher may publish events of every account, and can find out by a
//     header of expectation (Nats-Expected-Last-Subject-Sequence) whether a
//     subject that it names holds an event.
//   - Publishers share the capacity. Of atomic batches that are opened and not
//     committed the stream takes 50 from all of them, each of at most 1,000
//     messages (about 3 GiB of disk beside the streams, at worst), and drops one
//     10 s after its last message. NATS has no such limit for a client: one
//     that keeps 50 of them open has the batches of the others refused (10210),
//     single messages not. A flood is answered with 10167.
//   - The key of ingest is as good as the operator's to somebody who means harm:
//     ingest is in the account of the streams, so it can name a subject of
//     JetStream's interface for an answer and so have a stream deleted.
package engine
