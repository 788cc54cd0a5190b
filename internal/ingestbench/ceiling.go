package main

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
)

const ceilingName = "ceiling"

// batchSize is the worker's own.
const batchSize = 50_000

// ceiling measures what the store takes: the events of the stream, already
// decoded, in batches of the worker's size, by as many inserts at a time as the
// worker has.
func ceiling(ctx context.Context, b *bench) error {
	events, err := history()
	if err != nil {
		return err
	}
	n := min(b.options.events, 1_000_000)
	all := make([]event.Stored, 0, n)
	for e := range take(events, n) {
		body, err := event.Encode(e)
		if err != nil {
			return err
		}
		decoded, hash, err := event.Decode(body)
		if err != nil {
			return err
		}
		all = append(all, event.Stored{Event: decoded, Hash: hash, Raw: body, ReceivedAt: time.Now().UTC(), StreamSeq: uint64(len(all) + 1)})
	}
	for _, inserts := range []int{1, 2} {
		if err := b.emptyTables(ctx); err != nil {
			return err
		}
		db, err := b.open(ctx, engine.RoleWriter)
		if err != nil {
			return err
		}
		blocks := make(chan *store.Block, inserts)
		for range inserts {
			blocks <- store.NewBlock()
		}
		before, began := b.usage(nil), time.Now()
		var group errgroup.Group
		group.SetLimit(inserts)
		for some := range slices.Chunk(all, batchSize) {
			group.Go(func() error {
				block := <-blocks
				defer func() { blocks <- block }()
				block.Reset()
				for i := range some {
					block.Add(&some[i])
				}
				return db.InsertBlock(ctx, block, 0, block.Rows())
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		name := ceilingName
		if inserts > 1 {
			name += ", 2 inserts at a time"
		}
		b.add(name, len(all), time.Since(began), b.usage(nil).since(before).perEvent(len(all)))
		if err := db.Close(); err != nil {
			return err
		}
	}
	return nil
}
