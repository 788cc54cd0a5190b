package store

import (
	"encoding/binary"
	"math/bits"
)

// sipHash is ClickHouse's sipHash64: SipHash-2-4 (Aumasson and Bernstein, 2012) with
// the key 0.
func sipHash(text string) uint64 {
	s := sip{0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573}
	last := uint64(len(text)) << 56
	for len(text) >= 8 {
		s.add(binary.LittleEndian.Uint64([]byte(text[:8])))
		text = text[8:]
	}
	for i := range len(text) {
		last |= uint64(text[i]) << (8 * i)
	}
	s.add(last)
	s[2] ^= 0xff
	for range 4 {
		s.round()
	}
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

type sip [4]uint64

func (s *sip) add(word uint64) {
	s[3] ^= word
	s.round()
	s.round()
	s[0] ^= word
}

func (s *sip) round() {
	s[0] += s[1]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[3]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] += s[3]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] += s[1]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[2] = bits.RotateLeft64(s[2], 32)
}
