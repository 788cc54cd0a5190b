// Package faults breaks the system on purpose, for tests: NATS, ClickHouse,
// workers and the query service run as real processes, each worker behind
// proxies of its own, and [System.Check] then holds the whole to its invariants
// from the outside. It is imported by tests only.
//
// A test of a fault starts a [System], publishes, breaks something, makes sure
// that it broke, heals it, and checks:
//
//	func TestWorkerIsCutOffFromClickHouseAndNothingIsLost(t *testing.T) {
//		s := faults.Start(t, faults.Options{})
//		worker, publisher := s.NewWorker(), s.NewPublisher()
//		worker.Start()
//		load := publisher.Load()
//		s.Stored(500)             // some of it is in ClickHouse
//		worker.ClickHouse.Cut()   // the fault
//		s.Until("inserts fail", func() error {
//			return faults.AtLeast(worker.Metric(`loginaudit_ingest_insert_errors_total`), 1)
//		})
//		load.More(200)            // publishing goes on meanwhile
//		worker.ClickHouse.Heal()
//		load.Stop()
//		s.Check()                 // waits until the lag is 0; then every invariant
//	}
//
// What can be broken:
//
//   - Processes: [Server] (System.NATS, System.ClickHouse), [Worker] and [Query]
//     have Kill (kill -9 of the tree), Stop (in order), Freeze and Thaw (SIGSTOP,
//     SIGCONT of the tree) and Start, again on the same directory and address.
//     [Server.KillChild] kills the database alone, which its parent starts again.
//   - Connections: a [Link] is all connections of one client to one server, such
//     as Worker.NATS: Cut, Add of a [Toxic] in one [Direction] ([BlackHole] is a
//     half-open connection), Reset, Heal.
//   - Disks: with Options.NATSDisk or ClickHouseDisk the server is on a small
//     file system, which [Disk.Fill] fills and [Disk.Free] frees.
//   - What the servers hold: [System.Exec] as the owner of the schema,
//     [System.JetStream] as the operator, [System.Loginaudit] the operator's tool.
//
// What is published is remembered: [Publisher] records what it sent and what was
// confirmed, and makes up events, repeats, conflicts and invalid messages from
// Options.Seed. While the test runs, a watch asks the API for its watermark and
// looks whether what it claims is there.
//
// A [Campaign] draws from all of it by a seed, at random moments (make chaos).
// docs/reliability.md names every test, and a test wants it to. [System.Step] is a
// subtest on a system that several share.
//
// Nothing here measures time, but for how long the lag takes in a campaign, or
// sleeps: waits are for conditions, bounded by testsystem.Patience. All processes end with the test; when it fails, the seed
// and all that the processes logged are told. The methods that may fail the test
// are for the test's own goroutine.
package faults
