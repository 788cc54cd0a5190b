package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// A segment file is a row of records, one after the other; integers are
// little-endian:
//
//	uint32   length of the content
//	uint32   CRC-32C (RFC 3720, Castagnoli) over the length and the content
//	content: uint64 sequence · int64 stored at, microseconds since 1970 ·
//	         16 bytes content hash · uint16 length of the subject · subject · body
//
// The checksum covers the length too, so that a stretch of zeros, which a power
// cut may leave, is no record.
const (
	recordHead    = 4 + 4
	recordFixed   = 8 + 8 + len(event.Hash{}) + 2
	maxSubject    = 256
	maxRecordSize = recordHead + recordFixed + maxSubject + event.MaxBody
)

// record is one event in the outbox.
type record struct {
	seq    uint64
	stored time.Time
	msg    Message
}

var (
	// errCut: the data ends within the record.
	errCut = errors.New("the record is cut short")
	// errBroken: no record starts here, or it was altered.
	errBroken = errors.New("the record is damaged")
)

// encodeRecord encodes all of a record but its sequence and its checksum, which
// seal sets when the record's place is known.
func encodeRecord(m Message, stored time.Time) ([]byte, error) {
	if len(m.Subject) > maxSubject {
		return nil, invalid(fmt.Errorf("the subject has %d bytes, allowed are %d", len(m.Subject), maxSubject))
	}
	size := recordFixed + len(m.Subject) + len(m.Body)
	data := make([]byte, 0, recordHead+size)
	data = binary.LittleEndian.AppendUint32(data, uint32(size))
	data = binary.LittleEndian.AppendUint32(data, 0)
	data = binary.LittleEndian.AppendUint64(data, 0)
	data = binary.LittleEndian.AppendUint64(data, uint64(stored.UnixMicro()))
	data = append(data, m.Hash[:]...)
	data = binary.LittleEndian.AppendUint16(data, uint16(len(m.Subject)))
	data = append(data, m.Subject...)
	return append(data, m.Body...), nil
}

func seal(data []byte, seq uint64) {
	binary.LittleEndian.PutUint64(data[recordHead:], seq)
	binary.LittleEndian.PutUint32(data[4:], checksum(data))
}

// checksum is over the length and the content, not over itself.
func checksum(data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(data[:4], table), table, data[recordHead:])
}

// decodeRecord reads the record at the start of data and gives its size. The
// record's body is a part of data. The error is errCut or errBroken.
func decodeRecord(data []byte) (record, int, error) {
	if len(data) < recordHead {
		return record{}, 0, errCut
	}
	length := int64(binary.LittleEndian.Uint32(data))
	if length < int64(recordFixed) || length > int64(maxRecordSize-recordHead) {
		return record{}, 0, errBroken
	}
	size := recordHead + int(length)
	if len(data) < size {
		return record{}, 0, errCut
	}
	data = data[:size:size]
	if checksum(data) != binary.LittleEndian.Uint32(data[4:]) {
		return record{}, 0, errBroken
	}
	content := data[recordHead:]
	r := record{
		seq:    binary.LittleEndian.Uint64(content),
		stored: time.UnixMicro(int64(binary.LittleEndian.Uint64(content[8:]))).UTC(),
	}
	copy(r.msg.Hash[:], content[16:])
	subject := int(binary.LittleEndian.Uint16(content[16+len(r.msg.Hash):]))
	if subject > maxSubject || recordFixed+subject > len(content) {
		return record{}, 0, errBroken
	}
	r.msg.Subject = string(content[recordFixed : recordFixed+subject])
	r.msg.Body = content[recordFixed+subject:]
	r.msg.Ref = r.seq
	return r, size, nil
}

// resync finds the next whole record after damage: its place in data, or -1. A
// body cannot be taken for one: the last byte of a length is always zero, and
// JSON has no zero bytes.
func resync(data []byte) int {
	for at := 1; at+recordHead+recordFixed <= len(data); at++ {
		if _, _, err := decodeRecord(data[at:]); err == nil {
			return at
		}
	}
	return -1
}

// stretch is a part of a segment that holds no record, though it should.
type stretch struct {
	offset, size int64
}

// scan calls found for each record of a segment's data, in order, with its
// place. It gives the stretches that are damaged, and where the data ends in a
// stretch without any record after it: what a kill in the middle of a write
// leaves. Without such an end, end is len(data).
func scan(data []byte, found func(r record, offset int64, size int)) (damaged []stretch, end int64) {
	at := 0
	for at < len(data) {
		r, size, err := decodeRecord(data[at:])
		if err == nil {
			found(r, int64(at), size)
			at += size
			continue
		}
		skip := resync(data[at:])
		if skip < 0 {
			break
		}
		damaged = append(damaged, stretch{int64(at), int64(skip)})
		at += skip
	}
	return damaged, int64(at)
}
