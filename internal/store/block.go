package store

import (
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/loginaudit/loginaudit/event"
)

// Block holds events as the columns of one insert. It is filled, inserted,
// emptied and filled again, and keeps its memory, so that an event costs no
// allocation. It is not safe for concurrent use.
type Block struct {
	account       *wordColumn
	occurredAt    *proto.ColDateTime64
	rank          *proto.ColUInt8
	contentHash   *proto.ColFixedStr16
	idText        *textColumn
	idHigh        *proto.ColUInt64
	idLow         *proto.ColUInt64
	username      *textColumn
	entry         *proto.ColUInt8
	status        *proto.ColUInt8
	sessionID     *textColumn
	ip            *proto.ColNullable[proto.IPv6]
	userAgent     *wordColumn
	service       *wordColumn
	mfaMethod     *wordColumn
	deviceID      *textColumn
	requestID     *textColumn
	reason        *textColumn
	attributes    *proto.ColMap[string, string]
	outline       *textColumn
	receivedAfter *proto.ColInt64
	version       *proto.ColUInt64

	input    proto.Input
	outliner outliner
	// months is the month of each row, counted from the year 0; perMonth is how
	// many rows are in each.
	months   []int32
	perMonth map[int32]int
}

// NewBlock makes an empty block.
func NewBlock() *Block {
	b := &Block{
		account: newWordColumn(), occurredAt: new(proto.ColDateTime64).WithPrecision(proto.PrecisionMicro), rank: new(proto.ColUInt8), contentHash: new(proto.ColFixedStr16),
		idText: new(textColumn), idHigh: new(proto.ColUInt64), idLow: new(proto.ColUInt64), username: new(textColumn), entry: new(proto.ColUInt8), status: new(proto.ColUInt8),
		sessionID: new(textColumn), ip: new(proto.ColIPv6).Nullable(), userAgent: newWordColumn(),
		service: newWordColumn(), mfaMethod: newWordColumn(), deviceID: new(textColumn), requestID: new(textColumn),
		reason: new(textColumn), attributes: proto.NewMap[string, string](newWordColumn(), new(proto.ColStr)),
		outline: new(textColumn), receivedAfter: new(proto.ColInt64), version: new(proto.ColUInt64),
		perMonth: make(map[int32]int),
	}
	b.input = proto.Input{
		{Name: "account", Data: b.account},
		{Name: "occurred_at", Data: b.occurredAt},
		{Name: "rank", Data: b.rank},
		{Name: "content_hash", Data: b.contentHash},
		{Name: "id_text", Data: b.idText},
		{Name: "id_high", Data: b.idHigh},
		{Name: "id_low", Data: b.idLow},
		{Name: "username", Data: b.username},
		{Name: "entry", Data: b.entry},
		{Name: "status", Data: b.status},
		{Name: "session_id", Data: b.sessionID},
		{Name: "ip", Data: b.ip},
		{Name: "user_agent", Data: b.userAgent},
		{Name: "service", Data: b.service},
		{Name: "mfa_method", Data: b.mfaMethod},
		{Name: "device_id", Data: b.deviceID},
		{Name: "request_id", Data: b.requestID},
		{Name: "reason", Data: b.reason},
		{Name: "attributes", Data: b.attributes},
		{Name: "outline", Data: b.outline},
		{Name: "received_after", Data: b.receivedAfter},
		{Name: "version", Data: b.version},
	}
	return b
}

// Add copies an event into the block.
func (b *Block) Add(e *event.Stored) {
	b.account.Append(e.Account)
	b.occurredAt.AppendRaw(proto.DateTime64(e.OccurredAt.UnixMicro()))
	b.rank.Append(e.Status.Rank())
	b.contentHash.Append(e.Hash)
	b.addID(splitID(e.ID, e.OccurredAt))
	b.username.add(e.Username)
	b.entry.Append(uint8(e.Entry))
	b.status.Append(uint8(e.Status))
	b.sessionID.add(e.SessionID)
	b.ip.Append(proto.Nullable[proto.IPv6]{Set: e.IP.IsValid(), Value: proto.ToIPv6(e.IP)})
	b.userAgent.Append(e.UserAgent)
	b.service.Append(e.Service)
	b.mfaMethod.Append(string(e.MFAMethod))
	b.deviceID.add(e.DeviceID)
	b.requestID.add(e.RequestID)
	b.reason.add(e.Reason)
	b.attributes.Append(e.Attributes)
	b.outline.addBytes(b.outliner.outline(e))
	b.receivedAfter.Append(e.ReceivedAt.UnixMicro() - e.OccurredAt.UnixMicro())
	// The greatest version survives: the earliest in the stream.
	b.version.Append(^e.StreamSeq)
	b.note(int32(e.OccurredAt.Year()*12 + int(e.OccurredAt.Month())))
}

func (b *Block) addID(text string, high, low uint64) {
	b.idText.add(text)
	b.idHigh.Append(high)
	b.idLow.Append(low)
}

func (b *Block) note(month int32) {
	b.months = append(b.months, month)
	b.perMonth[month]++
}

// Rows is how many events the block holds.
func (b *Block) Rows() int { return len(b.months) }

// Raw is the message's body of a row, made of its columns. It reads all rows
// before it.
func (b *Block) Raw(row int) []byte {
	at := time.UnixMicro(int64(b.occurredAt.Data[row])).UTC()
	e := event.Event{
		ID:      joinID(b.idText.at(row), b.idHigh.Row(row), b.idLow.Row(row), at),
		Account: b.account.Row(row), Username: b.username.at(row), OccurredAt: at,
		Entry: event.Entry(b.entry.Row(row)), Status: event.Status(b.status.Row(row)),
		SessionID: b.sessionID.at(row), UserAgent: b.userAgent.Row(row), Service: b.service.Row(row),
		MFAMethod: event.MFAMethod(b.mfaMethod.Row(row)), DeviceID: b.deviceID.at(row),
		RequestID: b.requestID.at(row), Reason: b.reason.at(row),
	}
	if ip := b.ip.Row(row); ip.Set {
		e.IP = ip.Value.ToIP().Unmap()
	}
	return restore(b.outline.at(row), &e)
}

// Reset empties the block for other events.
func (b *Block) Reset() {
	for _, c := range b.input {
		if c, ok := c.Data.(interface{ Reset() }); ok {
			c.Reset()
		}
	}
	b.months = b.months[:0]
	clear(b.perMonth)
}

// pick adds those rows of another block that are wanted.
func (b *Block) pick(from *Block, wanted func(row int) bool) {
	for _, c := range []struct{ to, from *textColumn }{
		{b.idText, from.idText},
		{b.username, from.username},
		{b.sessionID, from.sessionID},
		{b.deviceID, from.deviceID},
		{b.requestID, from.requestID},
		{b.reason, from.reason},
		{b.outline, from.outline},
	} {
		c.to.pick(c.from, wanted)
	}
	for row, month := range from.months {
		if !wanted(row) {
			continue
		}
		b.account.Append(from.account.Row(row))
		b.occurredAt.AppendRaw(from.occurredAt.Data[row])
		b.rank.Append(from.rank.Row(row))
		b.contentHash.Append(from.contentHash.Row(row))
		b.idHigh.Append(from.idHigh.Row(row))
		b.idLow.Append(from.idLow.Row(row))
		b.entry.Append(from.entry.Row(row))
		b.status.Append(from.status.Row(row))
		b.ip.Append(from.ip.Row(row))
		b.userAgent.Append(from.userAgent.Row(row))
		b.service.Append(from.service.Row(row))
		b.mfaMethod.Append(from.mfaMethod.Row(row))
		b.attributes.Append(from.attributes.Row(row))
		b.receivedAfter.Append(from.receivedAfter.Row(row))
		b.version.Append(from.version.Row(row))
		b.note(month)
	}
}

// maxMonths is how many partitions one insert may touch: ClickHouse refuses
// more than 100, and would refuse them again at every repetition.
const maxMonths = 90

// parts are the rows [from, to) as blocks that lie in at most maxMonths months
// each; the block itself where that is possible.
func (b *Block) parts(from, to int) []*Block {
	if from == 0 && to == b.Rows() && len(b.perMonth) <= maxMonths {
		if to == 0 {
			return nil
		}
		return []*Block{b}
	}
	months := slices.Sorted(maps.Keys(countMonths(b.months[from:to])))
	var parts []*Block
	for some := range slices.Chunk(months, maxMonths) {
		first, last := some[0], some[len(some)-1]
		part := NewBlock()
		part.pick(b, func(row int) bool {
			return row >= from && row < to && b.months[row] >= first && b.months[row] <= last
		})
		parts = append(parts, part)
	}
	return parts
}

func countMonths(months []int32) map[int32]int {
	n := make(map[int32]int)
	for _, m := range months {
		n[m]++
	}
	return n
}
