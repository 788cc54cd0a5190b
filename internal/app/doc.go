// Package app is the one place where the parts of loginaudit meet: it turns
// settings into running parts, for the three commands that share it.
//
//	publishers ──▶ NATS JetStream ──▶ ingest ──▶ ClickHouse ◀── query ──▶ API, page
//	               LOGIN_EVENTS         │ invalid
//	                                    └──▶ LOGIN_PARKED
//
// [RunServe] runs all of it in one process tree with both servers embedded,
// [RunIngest] and [RunQuery] run one part against servers elsewhere. Each runs
// until its context ends, then stops what it started in the reverse order under
// one bound.
package app

import _ "time/tzdata" // questions name time zones on machines without zone files too
