package store

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// The projections hold events packed into strings whose bytes compare as the
// contract orders events (schema/clickhouse/00006_user_latest.sql):
// microseconds in 8 bytes big-endian, rank in 1, content hash in 16.
const (
	placeSize  = 8 + 1 + 16
	latestSize = placeSize + 2     // entry and status; the id follows
	finalSize  = 1 + placeSize + 2 // whether it is an attempt in front
)

// placeSQL is a row's place in the order, as the views pack it.
const placeSQL = "concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))), char(rank), content_hash)"

// packTime is the first part of a place: every place at t or later compares
// greater or equal, every earlier one less.
func packTime(t time.Time) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(max(t.UnixMicro(), 0)))
	return string(b[:])
}

// packPlace packs a position as the views do.
func packPlace(p query.Position) string {
	return packTime(p.At) + string([]byte{p.Rank}) + string(p.Hash[:])
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

// latest is a slot of user_latest.
type latest struct {
	place  query.Position
	entry  event.Entry
	status event.Status
	id     string
}

// unpackLatest reads a slot; nil for an empty one.
func unpackLatest(s string) (*latest, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // an empty slot is no event and no error
	}
	place, err := unpackPlace(s)
	if err != nil {
		return nil, err
	}
	if len(s) < latestSize {
		return nil, fmt.Errorf("unpack latest: %d bytes, want %d", len(s), latestSize)
	}
	return &latest{
		place:  place,
		entry:  event.Entry(s[placeSize]),
		status: event.Status(s[placeSize+1]),
		id:     s[latestSize:],
	}, nil
}

// unpackAddress reads the address of an attempt; the zero Addr for none.
func unpackAddress(s string) netip.Addr {
	if len(s) != placeSize+16 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte([]byte(s[placeSize:]))).Unmap()
}

// unpackClient reads the user agent of an attempt; "" for none.
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
