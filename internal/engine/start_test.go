package engine_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// refused starts an engine that must not start.
func refused(t *testing.T, cfg engine.ClickHouseConfig) error {
	t.Helper()
	ch := engine.NewClickHouse(cfg)
	err := ch.Start(t.Context())
	if err == nil {
		stop(t, ch)
		t.Fatal("it started")
	}
	return err
}

func TestAMissingLibraryIsToldWithTheCommandThatInstallsIt(t *testing.T) {
	root := t.TempDir()
	_, err := engine.SearchLibrary([]string{root}, filepath.Join("node_modules", "@chdb", "x", "libchdb.so"))
	mention(t, err, "npm ci", root, "node_modules", "/usr/lib/loginaudit", "LOGINAUDIT_ENGINE_LIBRARY")
	if !errors.Is(err, engine.ErrLibraryMissing) {
		t.Errorf("%v is not ErrLibraryMissing", err)
	}

	named := filepath.Join(root, "libchdb.so")
	err = refused(t, engine.ClickHouseConfig{Dir: t.TempDir(), Library: named})
	mention(t, err, named)
	if !errors.Is(err, engine.ErrLibraryMissing) {
		t.Errorf("%v is not ErrLibraryMissing", err)
	}
	mention(t, refused(t, engine.ClickHouseConfig{Dir: t.TempDir(), Library: root}), "not a file")
}

func TestTheLibraryIsFoundInAFolderAbove(t *testing.T) {
	root := t.TempDir()
	inside := filepath.Join("node_modules", "libchdb.so")
	deep := filepath.Join(root, "a", "b")
	for _, dir := range []string{deep, filepath.Join(root, "node_modules")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := filepath.Join(root, inside)
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := engine.SearchLibrary([]string{deep}, inside); err != nil || got != want {
		t.Errorf("found %q, error %v; want %q", got, err, want)
	}
}

func TestEveryPlatformHasItsLibraryOrAnError(t *testing.T) {
	for _, platform := range [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}} {
		if pkg, err := engine.LibraryPackage(platform[0], platform[1]); err != nil || pkg == "" {
			t.Errorf("%v: package %q, error %v", platform, pkg, err)
		}
	}
	_, err := engine.LibraryPackage("plan9", "mips")
	mention(t, err, "plan9/mips", "linux and darwin")
	if !errors.Is(err, engine.ErrPlatform) {
		t.Errorf("%v is not ErrPlatform", err)
	}
}

func TestAFileThatIsNotTheLibraryIsTold(t *testing.T) {
	library := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(library, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	mention(t, refused(t, engine.ClickHouseConfig{Dir: t.TempDir(), Library: library}), "load library", library)
}

func TestAPortThatIsTakenIsTold(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = refused(t, engine.ClickHouseConfig{Dir: t.TempDir(), Addr: other.Addr().String()})
	mention(t, err, other.Addr().String(), "another process")
	if !errors.Is(err, engine.ErrPortTaken) {
		t.Errorf("%v is not ErrPortTaken", err)
	}
}

func TestADirectoryInUseIsToldWithTheProcess(t *testing.T) {
	dir := t.TempDir()
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: dir})
	err := refused(t, engine.ClickHouseConfig{Dir: dir})
	mention(t, err, dir, "in use by process "+strconv.Itoa(os.Getpid()))
	if !errors.Is(err, engine.ErrDirInUse) {
		t.Errorf("%v is not ErrDirInUse", err)
	}
	if err := ch.Healthy(); err != nil {
		t.Errorf("the engine that was there first: %v", err)
	}
}

func TestADirectoryThatCannotBeWrittenIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mention(t, refused(t, engine.ClickHouseConfig{Dir: file}), "data directory", file)
	// A folder in which nobody can make a file, not even root.
	unwritable := map[string]string{"linux": "/proc/self/fdinfo", "darwin": "/System"}[runtime.GOOS]
	mention(t, refused(t, engine.ClickHouseConfig{Dir: unwritable}), "data directory", unwritable)
}

func TestSettingsThatCannotBeAreTold(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		cfg  engine.ClickHouseConfig
		want []string
	}{
		{engine.ClickHouseConfig{}, []string{"data directory", "not given"}},
		{engine.ClickHouseConfig{Dir: dir, Addr: "0.0.0.0:0"}, []string{"0.0.0.0:0", "loopback only"}},
		{engine.ClickHouseConfig{Dir: dir, Addr: "10.0.0.1:9000"}, []string{"10.0.0.1:9000", "loopback only"}},
		{engine.ClickHouseConfig{Dir: dir, Addr: ":9000"}, []string{"loopback only"}},
		{engine.ClickHouseConfig{Dir: dir, Addr: "nowhere"}, []string{"nowhere", "host:port"}},
		{engine.ClickHouseConfig{Dir: dir, Addr: "127.0.0.1:99999"}, []string{"listen on 127.0.0.1:99999"}},
		{engine.ClickHouseConfig{Dir: dir, MemoryLimit: 1 << 20}, []string{"memory limit 1048576", "384 MiB"}},
		{engine.ClickHouseConfig{Dir: dir, Databases: []string{"a;DROP"}}, []string{"a;DROP", "letter"}},
		{engine.ClickHouseConfig{Dir: dir, Databases: []string{"system"}}, []string{"system", "own"}},
		{engine.ClickHouseConfig{Dir: dir, Command: []string{"/nowhere/loginaudit"}}, []string{"start child", "/nowhere/loginaudit"}},
	} {
		mention(t, refused(t, c.cfg), c.want...)
	}
}

func TestAnEngineThatEndsAtOnceIsToldWithItsLastWords(t *testing.T) {
	mention(t, refused(t, engine.ClickHouseConfig{
		Dir: t.TempDir(), Command: []string{"/bin/sh", "-c", "echo the disk is on fire >&2; exit 4"},
	}), "start clickhouse", "ended before it listened", "the disk is on fire")
	mention(t, refused(t, engine.ClickHouseConfig{
		Dir: t.TempDir(), Command: []string{"/bin/sh", "-c", "echo not a port >&4"},
	}), "read port")
}

func TestAfterAFailedStartTheDirectoryIsFree(t *testing.T) {
	dir := t.TempDir()
	refused(t, engine.ClickHouseConfig{Dir: dir, Command: []string{"/bin/false"}})
	startClickHouse(t, engine.ClickHouseConfig{Dir: dir})
}

func TestAnEngineStartsOnce(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	mention(t, ch.Start(t.Context()), "started before")
	if err := ch.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestPasswordsThatCannotBeReadAreTold(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"{", `{"owner":"short"}`} {
		if err := os.WriteFile(filepath.Join(dir, "passwords.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		mention(t, refused(t, engine.ClickHouseConfig{Dir: dir}), "passwords.json", "remove the file")
	}
}

func TestTheChildCommandAloneSaysWhatItIs(t *testing.T) {
	mention(t, engine.RunChild(nil), "serve")
	mention(t, engine.RunChild([]string{"--nonsense"}), "nonsense")
}

func TestTheMachinesMemoryIsRead(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:       2048 kB\nMemFree: 1 kB\n": 2 << 20,
		"MemFree: 1 kB\n":                          0,
		"MemTotal: many kB\n":                      0,
		"":                                         0,
	} {
		if got := engine.MemTotal([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
