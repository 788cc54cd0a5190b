package tail_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/tail"
	"github.com/loginaudit/loginaudit/internal/web"
)

const (
	manyReaders = 2000
	// mostPerReader is what a reader that waits may cost, its connection on both
	// sides included.
	mostPerReader = 80 << 10
)

// readUntil reads from a connection up to a text; what is behind it is lost.
func readUntil(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	in, got := bufio.NewReaderSize(conn, 1<<10), strings.Builder{}
	for !strings.Contains(got.String(), text) {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("%v instead of %s in %q", err, text, got.String())
		}
		got.WriteString(line)
	}
}

// inUse is the memory that the program holds.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestThousandsOfIdleReadersCostLittleAndAllAreToldOfAnEvent(t *testing.T) {
	s := newSystem(t)
	hub, stop := s.run(tail.Config{Every: 50 * time.Millisecond})
	token := access.NewAdminToken()
	api, err := web.New(web.Config{Store: s.reader, Tail: hub, Access: access.New(access.Config{Token: token})})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: api.Handler(), ReadHeaderTimeout: patience}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})

	before := inUse()
	conns := make([]net.Conn, manyReaders)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conns[i].Close() })
		// Of a hundred accounts, in each one who follows one user.
		fmt.Fprintf(conns[i], "GET /api/v1/accounts/a%d/stream?username=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
			i%100, map[bool]string{true: "ann", false: "bob"}[i < 100], token.Secret())
	}
	for _, conn := range conns {
		readUntil(t, conn, "event: watermark")
	}
	each := (inUse() - before) / manyReaders
	t.Logf("%d bytes for each of %d readers", each, manyReaders)
	if each > mostPerReader {
		t.Errorf("a reader that waits costs %d bytes", each)
	}

	for account := range 100 {
		s.insert(s.login(fmt.Sprintf("a%d", account), "bob", 0))
	}
	last := s.login("a0", "ann", 0)
	s.ingest(last)
	for i, conn := range conns {
		switch {
		case i == 0:
			readUntil(t, conn, fmt.Sprintf("id: %d\n", last.StreamSeq))
		case i >= 100:
			readUntil(t, conn, fmt.Sprintf(`"account":"a%d"`, i%100))
		}
	}
	stop()
	for _, conn := range conns { // and all end in order: by the last chunk
		readUntil(t, conn, "0\r\n\r\n")
	}
}
