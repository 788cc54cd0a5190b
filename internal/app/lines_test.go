package app

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/event"
)

func readLines(t testing.TB, in string) (lines []string, numbers []uint64) {
	t.Helper()
	r := newLineReader(strings.NewReader(in))
	for {
		line, n, err := r.next()
		if errors.Is(err, io.EOF) {
			return lines, numbers
		}
		if err != nil {
			t.Fatal(err)
		}
		lines, numbers = append(lines, string(line)), append(numbers, n)
	}
}

func TestLinesKeepTheirBytesAndTheirNumbers(t *testing.T) {
	lines, numbers := readLines(t, "{\"a\":1}\n\n  \t\n {\"b\" : 2} \r\n\r\n{\"c\":3}")
	if strings.Join(lines, "|") != `{"a":1}| {"b" : 2} |{"c":3}` {
		t.Errorf("lines %q", lines)
	}
	if len(numbers) != 3 || numbers[0] != 1 || numbers[1] != 4 || numbers[2] != 6 {
		t.Errorf("numbers %v", numbers)
	}
}

func TestLineThatIsTooLongIsCutToWhatIsRefusedAndTheNextOneIsRead(t *testing.T) {
	long := strings.Repeat("x", 5<<20)
	lines, numbers := readLines(t, long+"\n"+"next\n"+strings.Repeat("y", event.MaxBody))
	if len(lines) != 3 || len(lines[0]) != event.MaxBody+1 || lines[1] != "next" || len(lines[2]) != event.MaxBody {
		t.Fatalf("%d lines", len(lines))
	}
	if numbers[1] != 2 {
		t.Errorf("numbers %v", numbers)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("disk is gone") }

func TestLineReaderTellsWhereReadingFailed(t *testing.T) {
	r := newLineReader(io.MultiReader(strings.NewReader("a\nb"), brokenReader{}))
	if line, _, err := r.next(); err != nil || string(line) != "a" {
		t.Fatal(err)
	}
	if _, _, err := r.next(); err == nil || !strings.Contains(err.Error(), "line 2: disk is gone") {
		t.Fatal(err)
	}
}

func TestPrintableLetsNothingReachTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain, ünïcode, 渡辺":     "plain, ünïcode, 渡辺",
		"\x1b[2J":                `\x1b[2J`,
		"a\nb\tc\x7f":            `a\x0ab\x09c\x7f`,
		"\u202egnp.exe":          `\u202egnp.exe`,
		"\u0085\u200b\U000e0001": `\u0085\u200b\U000e0001`,
		"\xff\xfe":               `\xff\xfe`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestPrintableJSONIsTheSameValueWithoutControlCharacters(t *testing.T) {
	got, err := printableJSON(map[string]string{"k": "a\x1b\u009b\u202e\U000e0001ü"}, "")
	if err != nil || string(got) != `{"k":"a\u001b\u009b\u202e\udb40\udc01ü"}` {
		t.Fatalf("%s, %v", got, err)
	}
}

func TestAddressesAreWrittenWholeAndReadBack(t *testing.T) {
	dir := t.TempDir()
	want := Addresses{HTTP: "127.0.0.1:1", NATS: "127.0.0.1:2", Admin: "127.0.0.1:3", ClickHouse: "127.0.0.1:4"}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil || !bytes.Contains(text, []byte(`"http": "127.0.0.1:1"`)) || bytes.Contains(text, []byte("tls")) {
		t.Errorf("%s, %v", text, err)
	}
	if got, err := ReadAddresses(dir); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	if got := want.NATSURL() + " " + want.HTTPURL(); got != "nats://127.0.0.1:2 http://127.0.0.1:1" {
		t.Error(got)
	}
	want.HTTPTLS, want.NATSTLS = true, true
	if got := want.NATSURL() + " " + want.HTTPURL(); got != "tls://127.0.0.1:2 https://127.0.0.1:1" {
		t.Error(got)
	}
}

func TestReadAddressesSaysHowToStart(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadAddresses(dir); err == nil || !strings.Contains(err.Error(), "make run") || !strings.Contains(err.Error(), dir) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, addressesFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAddresses(dir); err == nil || !strings.Contains(err.Error(), addressesFile) {
		t.Errorf("broken: %v", err)
	}
}

func TestWildcardAddressesAreToldAsOnesThatCanBeDialled(t *testing.T) {
	for in, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "192.0.2.1:80": "192.0.2.1:80",
	} {
		addr, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := dialable(addr); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestDataDirectoryBelongsToOneServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	lock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := lockDataDir(dir); err == nil || !strings.Contains(err.Error(), "--data-dir") || !strings.Contains(err.Error(), "another serve (process") {
		t.Errorf("second: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDataDir(filepath.Join(dir, "file")); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("not a directory: %v", err)
	}
}

func TestProgressIsShownOnATerminalOnlyAndTakenAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{file}, {file, "-"}, {file + "none"}} {
		for _, terminal := range []bool{true, false} {
			var shown bytes.Buffer
			p := newProgress(files, Streams{Err: &shown, Terminal: terminal})
			if n, err := io.Copy(io.Discard, p.reader(strings.NewReader("some text"))); n != 9 || err != nil {
				t.Errorf("%v: read %d, %v", files, n, err)
			}
			p.clear()
			p.done()
			if got := strings.Contains(shown.String(), "importing"); got != terminal {
				t.Errorf("%v, terminal %v: shown %q", files, terminal, shown.String())
			}
		}
	}
}
