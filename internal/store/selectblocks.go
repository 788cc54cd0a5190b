package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
)

// silence is how long ClickHouse may say nothing, not even how far it is, before
// a statement is given up. While it works it tells its progress ten times a second.
const silence = time.Minute

var errSilent = errors.New("clickhouse says nothing any more")

// selectBlocks runs a statement of eventColumns as a reader confined to account
// and hands on each block as it comes. The block is used again for the next one.
// While onBlock takes its time nothing more is read, so that ClickHouse waits too.
func (db *DB) selectBlocks(ctx context.Context, account string, s statement, onBlock func(*readBlock) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	block := newReadBlock()
	var refused error
	err := db.writer.do(ctx, ch.Query{
		Body: s.sql, Parameters: s.parameters(), Result: block.result,
		Settings: []ch.Setting{
			{Key: "log_comment", Value: account, Important: true},
			{Key: "max_execution_time", Value: strconv.Itoa(int(longestStatement.Seconds())), Important: true},
		},
		OnResult: func(_ context.Context, b proto.Block) error {
			watch.Stop()
			defer watch.Reset(silence)
			if b.Rows == 0 {
				return nil
			}
			refused = onBlock(block)
			return refused
		},
		OnProgress: func(context.Context, proto.Progress) error {
			watch.Reset(silence)
			return nil
		},
	})
	switch {
	case err == nil || refused != nil:
		return refused
	case errors.Is(context.Cause(ctx), errSilent):
		err = errSilent
	}
	return readError("select "+s.name, err)
}

// parameters are the parameters of the statement in the form of the protocol: as
// text with escapes, in quotes.
func (s statement) parameters() []proto.Parameter {
	text := strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
	dump := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	all := make([]proto.Parameter, 0, len(s.params))
	for _, name := range slices.Sorted(maps.Keys(s.params)) {
		value := dump.Replace(text.Replace(fmt.Sprint(s.params[name])))
		all = append(all, proto.Parameter{Key: name, Value: "'" + value + "'"})
	}
	return all
}
