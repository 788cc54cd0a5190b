// Package ingest is the worker between the stream and the store: it fetches
// messages, decodes each alone, parks the invalid ones, inserts the rest as one
// batch and acknowledges.
//
// Its promises:
//
//   - A message is acknowledged after the [Sink] has stored its event, or after
//     it is parked, and never before. A crash at any point loses nothing;
//     what is delivered again is inserted again, and the same rows collapse.
//   - A message that breaks the contract never holds others up and is never
//     dropped. While it cannot be parked it stays unacknowledged.
//   - An error of the store never loses an event: it is retried for ever, or the
//     loop stops without acknowledging, see [Class].
//   - The [Watermark] never claims more than is stored or parked.
//   - Memory is bounded by Config.MaxMessages, Config.MaxBytes and
//     Config.Inserts, whatever the stream holds.
//
// Several loops, in one process or many, may share a consumer: acknowledgement is
// explicit, and order does not matter.
package ingest
