package engine

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// serveGate answers the question of the server whether somebody is its user
// "default": yes to the first, which is the library's own client, before the
// server listens; no to everybody after. The listener stays open as long as
// the process lives, so that nobody else can answer on its port.
func serveGate(listener net.Listener) {
	var asked atomic.Bool
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed: the process ends
		}
		go answerGate(conn, &asked)
	}
}

func answerGate(conn net.Conn, asked *atomic.Bool) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return
	}
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	status := "403 Forbidden"
	if user, _, ok := request.BasicAuth(); ok && user == "default" && !asked.Swap(true) {
		status = "200 OK"
	}
	_, _ = conn.Write([]byte("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
}
