package deploycheck

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// stage is one FROM of the Dockerfile and what follows it.
type stage struct {
	name, base string
	lines      []instruction
}

type instruction struct{ word, rest string }

func (s stage) all(word string) (rests []string) {
	for _, line := range s.lines {
		if line.word == word {
			rests = append(rests, line.rest)
		}
	}
	return rests
}

func (s stage) last(word string) string {
	rests := s.all(word)
	if len(rests) == 0 {
		return ""
	}
	return rests[len(rests)-1]
}

// stages reads deploy/Dockerfile.
func stages(t testing.TB) []stage {
	t.Helper()
	var all []stage
	joined := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(projectFile(t, "deploy/Dockerfile"), "")
	joined = strings.ReplaceAll(joined, "\\\n", " ")
	from := regexp.MustCompile(`^(?:--platform=\S+ )?(\S+) AS (\S+)$`)
	for line := range strings.Lines(joined) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.Join(strings.Fields(rest), " ")
		if word == "" {
			continue
		}
		if word == "FROM" {
			m := from.FindStringSubmatch(rest)
			if m == nil {
				t.Fatalf("FROM %s has no name", rest)
			}
			all = append(all, stage{base: m[1], name: m[2]})
			continue
		}
		if len(all) == 0 {
			t.Fatalf("%s before FROM", line)
		}
		last := &all[len(all)-1]
		last.lines = append(last.lines, instruction{word, rest})
	}
	return all
}

func stageNamed(t testing.TB, name string) stage {
	t.Helper()
	all := stages(t)
	i := slices.IndexFunc(all, func(s stage) bool { return s.name == name })
	if i < 0 {
		t.Fatalf("the Dockerfile has no target %s", name)
	}
	return all[i]
}

func TestDockerfileBasesArePinned(t *testing.T) {
	names := []string{"scratch"}
	for _, s := range stages(t) {
		if !slices.Contains(names, s.base) && !regexp.MustCompile(`^[\w./-]+:\d+\.\d+\.\d+[\w.-]*$`).MatchString(s.base) {
			t.Errorf("FROM %s names no exact version", s.base)
		}
		names = append(names, s.name)
	}
}

// The compiler of the images is not older than the one that go.mod asks for.
func TestDockerfileGoIsThatOfTheModule(t *testing.T) {
	image := regexp.MustCompile(`golang:(\d+\.\d+)`).FindStringSubmatch(stageNamed(t, "build").base)
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(projectFile(t, "go.mod"))
	if image == nil || module == nil || image[1] != module[1] {
		t.Errorf("built with %v, go.mod says %v", image, module)
	}
}

func TestDockerfileImagesAreNotRootAndHaveNothingButThePrograms(t *testing.T) {
	run := stageNamed(t, "runtime")
	if run.base != "scratch" || run.last("USER") != "65532:65532" || len(run.all("RUN")) > 0 {
		t.Errorf("FROM %s, USER %s, RUN %v", run.base, run.last("USER"), run.all("RUN"))
	}
	for _, name := range []string{"ingest", "query", "loginaudit"} {
		s := stageNamed(t, name)
		if s.base != "runtime" || len(s.all("USER")) > 0 || len(s.all("COPY")) > 0 || len(s.all("RUN")) > 0 {
			t.Errorf("%s: FROM %s, and more than how to start: %v", name, s.base, s.lines)
		}
		if s.last("ENTRYPOINT") != `["/`+name+`"]` {
			t.Errorf("%s: ENTRYPOINT %s", name, s.last("ENTRYPOINT"))
		}
	}
}

func TestDockerfileHealthChecksAskTheDefaultAdminAddress(t *testing.T) {
	for _, name := range []string{"ingest", "query"} {
		s := stageNamed(t, name)
		_, form, _ := strings.Cut(s.last("HEALTHCHECK"), "CMD ")
		var line []string
		if err := json.Unmarshal([]byte(form), &line); err != nil {
			t.Fatalf("%s: HEALTHCHECK %s: %v", name, s.last("HEALTHCHECK"), err)
		}
		if cmd := program(t, line); cmd.Name() != "health" {
			t.Errorf("%s: health check runs %v", name, line)
		}
		admin := program(t, []string{name}).Flags().Lookup("admin-addr").DefValue
		if want := "http://" + admin + "/readyz"; line[len(line)-1] != want {
			t.Errorf("%s is asked at %s, listens on %s", name, line[len(line)-1], want)
		}
		for _, set := range s.all("ENV") {
			variable, _, _ := strings.Cut(set, "=")
			checkVariables(t, name, program(t, []string{name}), []string{variable})
		}
	}
}

// What is copied from the context is there and not ignored; what is copied from
// the build is made there.
func TestDockerfileCopiesWhatIsThere(t *testing.T) {
	ignored := projectFile(t, "deploy/Dockerfile.dockerignore")
	for _, s := range stages(t) {
		for _, c := range s.all("COPY") {
			words := strings.Fields(c)
			if words[0] == "--from=build" {
				for _, path := range words[1 : len(words)-1] {
					if name, ok := strings.CutPrefix(path, "/out/"); ok && !strings.Contains(stageNamed(t, "build").last("RUN"), "./cmd/"+name) {
						t.Errorf("%s: nothing builds %s", s.name, path)
					}
				}
				continue
			}
			for _, path := range words[:len(words)-1] {
				if _, err := os.Stat(filepath.Join(testsystem.Root(t), path)); err != nil {
					t.Errorf("%s copies %s: %v", s.name, path, err)
				}
				if slices.Contains(strings.Split(ignored, "\n"), path) {
					t.Errorf("%s copies %s, which is ignored", s.name, path)
				}
			}
		}
	}
	for _, secret := range []string{"deploy/secrets", ".env"} {
		if !slices.Contains(strings.Split(ignored, "\n"), secret) {
			t.Errorf("%s gets into the build", secret)
		}
	}
}

// buildAsInImages builds the three programs with the command of the Dockerfile,
// for this machine, and returns the folder.
func buildAsInImages(t testing.TB) string {
	t.Helper()
	_, line, ok := strings.Cut(stageNamed(t, "build").last("RUN"), "go build")
	if !ok {
		t.Fatal("the Dockerfile builds nothing")
	}
	line = "go build" + line
	out := t.TempDir()
	cmd := exec.Command("sh", "-c", strings.Replace(line, "-o /out/", "-o "+out+"/", 1))
	cmd.Dir = testsystem.Root(t)
	cmd.Env = os.Environ()
	for _, set := range stageNamed(t, "build").all("ENV") {
		cmd.Env = append(cmd.Env, strings.Fields(set)...)
	}
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=readonly -buildvcs=false", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, text)
	}
	return out
}

// static fails unless a program runs where there is no libc.
func static(t testing.TB, path string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return // the images are Linux's
	}
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is linked dynamically: it does not run in an empty image", filepath.Base(path))
			return
		}
	}
}
