package deploycheck

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthSucceedsOnlyWhereTheProcessIsReady(t *testing.T) {
	answer := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answer)
		w.Write([]byte("[-] clickhouse: gone\nnot ready\n"))
	}))
	defer server.Close()
	if code, said := loginaudit("health", server.URL+"/readyz"); code != 0 {
		t.Errorf("ready: %d: %s", code, said)
	}
	answer = http.StatusServiceUnavailable
	if code, said := loginaudit("health", server.URL+"/readyz"); code != 1 || !strings.Contains(said, "clickhouse: gone") {
		t.Errorf("not ready: %d: %s", code, said)
	}
	gone := server.URL
	server.Close()
	if code, said := loginaudit("health", gone); code != 1 || !strings.Contains(said, "check health") {
		t.Errorf("nobody there: %d: %s", code, said)
	}
	for _, url := range []string{"127.0.0.1:8081", "ftp://127.0.0.1/readyz", "http:///readyz", "%"} {
		if code, said := loginaudit("health", url); code != 2 || !strings.Contains(said, "readyz") {
			t.Errorf("%s: %d: %s", url, code, said)
		}
	}
}

func TestStreamsTellsWhatItCannotDo(t *testing.T) {
	url, keys := startNATS(t)
	if code, said := loginaudit("streams", "--nats-url", url, "--nats-nkey", keys["operator"], "--stream-ensure=false", "--stop-timeout", "1s"); code != 1 ||
		!strings.Contains(said, "stream not found") {
		t.Errorf("not made yet, only asked: %d: %s", code, said)
	}
	if code, said := loginaudit("streams", "--nats-url", url, "--nats-nkey", keys["operator"]); code != 0 || !strings.Contains(said, "as the settings say") {
		t.Errorf("operator: %d: %s", code, said)
	}
	if code, said := loginaudit("streams", "--nats-url", url, "--nats-nkey", keys["ingest"], "--stream-max-age", "40d"); code != 1 ||
		!strings.Contains(strings.ToLower(said), "permissions violation") {
		t.Errorf("ingest: %d: %s", code, said)
	}
	if code, said := loginaudit("streams", "--nats-url", url); code != 1 || !strings.Contains(said, "connect to NATS") {
		t.Errorf("nobody: %d: %s", code, said)
	}
	if code, said := loginaudit("streams", "--nats-url", url, "--stream-replicas", "9"); code != 2 || !strings.Contains(said, "Replicas") {
		t.Errorf("wrong setting: %d: %s", code, said)
	}
}
