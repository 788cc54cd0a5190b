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
//     operator, each with the rights it needs. Without a key one gets the
//     publisher's rights, and only while the server listens on loopback.
//   - No monitoring port, no cluster, no signal handlers of its own.
package engine
