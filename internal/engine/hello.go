package engine

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// hello is the first packet of a client in ClickHouse's native protocol
// (src/Core/Protocol.h there: Protocol::Client::Hello).
type hello struct {
	database, user, password string
	// raw is everything that was read: the packet, and what came after it.
	raw []byte
}

const (
	packetHello     = 0
	packetException = 2
	// maxHelloText bounds each text of the packet.
	maxHelloText = 4096
)

// readHello reads the first packet of a connection: packet 0, the client's
// name, its version in three numbers, database, user, password.
func readHello(conn io.Reader) (hello, error) {
	in := bufio.NewReader(conn)
	var raw bytes.Buffer
	r := &helloReader{in: in, raw: &raw}
	if kind := r.number(); r.err == nil && kind != packetHello {
		return hello{}, fmt.Errorf("read hello: packet %d", kind)
	}
	r.text() // the client's name
	for range 3 {
		r.number() // major, minor, revision
	}
	h := hello{database: r.text(), user: r.text(), password: r.text()}
	if r.err != nil {
		return hello{}, fmt.Errorf("read hello: %w", r.err)
	}
	rest, _ := in.Peek(in.Buffered()) // what is buffered can be peeked
	h.raw = append(raw.Bytes(), rest...)
	return h, nil
}

// helloReader reads the protocol's numbers and texts, keeps the bytes, and
// remembers the first error.
type helloReader struct {
	in  *bufio.Reader
	raw *bytes.Buffer
	err error
}

// ReadByte makes it an io.ByteReader for binary.ReadUvarint.
func (r *helloReader) ReadByte() (byte, error) {
	b, err := r.in.ReadByte()
	if err == nil {
		r.raw.WriteByte(b)
	}
	return b, err
}

func (r *helloReader) number() uint64 {
	if r.err != nil {
		return 0
	}
	var n uint64
	n, r.err = binary.ReadUvarint(r)
	return n
}

func (r *helloReader) text() string {
	n := r.number()
	if r.err == nil && n > maxHelloText {
		r.err = errors.New("a text is too long")
	}
	if r.err != nil {
		return ""
	}
	buf := make([]byte, n)
	if _, r.err = io.ReadFull(r.in, buf); r.err != nil {
		return ""
	}
	r.raw.Write(buf)
	return string(buf)
}

// packet is the refusal as an exception packet: number 2, the code, the class,
// the message, an empty stack trace, and no nested exception.
func (f *refusal) packet() []byte {
	out := []byte{packetException}
	out = binary.LittleEndian.AppendUint32(out, uint32(f.code))
	for _, text := range []string{"DB::Exception", f.message, ""} {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	return append(out, 0)
}
