package store

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Where ClickHouse is to find the latest of events it compares places: an event
// packed so that bytes, or a number, compare as the contract orders events.
//
// As text a place is the microseconds in 8 bytes, most significant first, the
// rank in 1 and the content hash in 16; what belongs to the event follows.
const (
	placeSize = 8 + 1 + 16
	finalSize = 1 + placeSize + 2 // whether it is an attempt in front; entry and status behind
)

// placeSQL is a row's place in the order.
const placeSQL = "concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))), char(rank), content_hash)"

// packTime is the first part of a place: every place at t or later compares
// greater or equal, every earlier one less.
func packTime(t time.Time) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(t.UnixMicro(), 0)))
	return string(b[:])
}

// hexOf is how bytes that are no text travel as a parameter, behind unhex().
func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

// unpackPlace reads a place back.
func unpackPlace(s string) (query.Position, error) {
	if len(s) < placeSize {
		return query.Position{}, fmt.Errorf("unpack place: %d bytes, want %d", len(s), placeSize)
	}
	p := query.Position{At: unpackTime(s), Rank: s[8]}
	copy(p.Hash[:], s[9:placeSize])
	return p, nil
}

// unpackTime reads the first 8 bytes of a place.
func unpackTime(s string) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64([]byte(s[:8])))).UTC()
}

// unpackAddress reads the address behind a place; the zero Addr for none.
func unpackAddress(s string) netip.Addr {
	if len(s) != placeSize+16 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte([]byte(s[placeSize:]))).Unmap()
}

// unpackClient reads the user agent behind a place; "" for none.
func unpackClient(s string) string {
	if len(s) <= placeSize {
		return ""
	}
	return s[placeSize:]
}

// unpackFinal reads the entry and status of an attempt.
func unpackFinal(s string) (event.Entry, event.Status, error) {
	if len(s) != finalSize {
		return 0, 0, fmt.Errorf("unpack final: %d bytes, want %d", len(s), finalSize)
	}
	return event.Entry(s[finalSize-2]), event.Status(s[finalSize-1]), nil
}

// As a number, in a slot of user_latest, an event is 52 bits of microseconds, 4
// of rank, 63 of content hash, 4 of entry and 5 of status
// (schema/clickhouse/00006_user_latest.sql).
const (
	codeBits   = 4 + 5
	hashBits   = 63
	rankBits   = 4
	statusBits = 5
	timeShift  = codeBits + hashBits + rankBits
)

// slotSQL packs a row of events, as the view user_latest_view does.
const slotSQL = `bitShiftLeft(toUInt128(toUnixTimestamp64Micro(occurred_at)), 76)
	+ bitShiftLeft(toUInt128(rank), 72)
	+ bitShiftLeft(toUInt128(bitShiftRight(byteSwap(reinterpretAsUInt64(content_hash)), 1)), 9)
	+ toUInt128(toUInt16(entry) * 32 + status)`

// The codes of a slot.
const (
	slotStatusSQL = "toUInt8(bitAnd(last, 31))"
	slotEntrySQL  = "toUInt8(bitAnd(bitShiftRight(last, 5), 15))"
)

// latest is the event in a slot of user_latest.
type latest struct {
	at     time.Time
	rank   uint8
	hash   uint64 // the first 63 bits
	entry  event.Entry
	status event.Status
}

// unpackLatest reads a slot; nil for an empty one.
func unpackLatest(slot *big.Int) *latest {
	if slot.Sign() == 0 {
		return nil
	}
	bits := func(from, n uint) uint64 {
		part := new(big.Int).Rsh(slot, from)
		return part.And(part, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), n), big.NewInt(1))).Uint64()
	}
	return &latest{
		at:     time.UnixMicro(int64(bits(timeShift, 128-timeShift))).UTC(),
		rank:   uint8(bits(codeBits+hashBits, rankBits)),
		hash:   bits(codeBits, hashBits),
		entry:  event.Entry(bits(statusBits, codeBits-statusBits)),
		status: event.Status(bits(0, statusBits)),
	}
}

// position is the event's place as a cursor keeps it: with as much of the
// content hash as a slot has.
func (l *latest) position() query.Position {
	p := query.Position{At: l.at, Rank: l.rank}
	binary.BigEndian.PutUint64(p.Hash[:], l.hash<<1)
	return p
}

// packSlot is the number with which a slot at a position begins: what is behind
// it, shifted by codeBits, is greater or less.
func packSlot(p query.Position) *big.Int {
	n := new(big.Int).SetUint64(uint64(max(p.At.UnixMicro(), 0)))
	n.Lsh(n, rankBits).Or(n, new(big.Int).SetUint64(uint64(p.Rank)))
	return n.Lsh(n, hashBits).Or(n, new(big.Int).SetUint64(binary.BigEndian.Uint64(p.Hash[:])>>1))
}

// idPlace is the place in front of an id in user_latest: what tells whether it
// is the id of the event in the slot.
func (l *latest) idPlace() string {
	return packTime(l.at) + string([]byte{l.rank})
}

// unpackID reads an id behind its place, if it is the event's; "" otherwise.
func (l *latest) unpackID(s string) string {
	const size = 8 + 1 + 8
	if len(s) < size || s[:9] != l.idPlace() || binary.BigEndian.Uint64([]byte(s[9:size]))>>1 != l.hash {
		return ""
	}
	return s[size:]
}
