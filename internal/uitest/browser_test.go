package uitest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

func TestMissingBrowserIsAnErrorThatSaysWhatToInstall(t *testing.T) {
	none := func(string) (string, error) { return "", exec.ErrNotFound }
	if _, err := find(func(string) string { return "" }, none); !errors.Is(err, errNoBrowser) || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("without any: %v", err)
	}
	if _, err := find(func(string) string { return "/no/such" }, none); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "CHROME") {
		t.Errorf("with a wrong CHROME: %v", err)
	}
}

func TestBrowserIsTheOneOfCHROMEOrTheFirstOnPATH(t *testing.T) {
	have := func(name string) (string, error) {
		if name == "google-chrome" || name == "mine" {
			return "/bin/" + name, nil
		}
		return "", exec.ErrNotFound
	}
	for chrome, want := range map[string]string{"": "/bin/google-chrome", "mine": "/bin/mine"} {
		if got, err := find(func(string) string { return chrome }, have); got != want || err != nil {
			t.Errorf("CHROME=%q: %q, %v", chrome, got, err)
		}
	}
}

func TestProblemsOfAPageAreNoticed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'")
		switch r.URL.Path {
		case "/script.js":
			_, _ = w.Write([]byte(`console.log("hello"); document.body.dataset.ran = "yes"; missing()`))
		case "/scripted":
			_, _ = w.Write([]byte(`<body style="color:red">scripted<script src="/script.js"></script>`))
		default:
			_, _ = w.Write([]byte(`<link rel=icon href="data:,"><body>fine`))
		}
	}))
	defer server.Close()
	browser := Open(t)
	tab := browser.Tab(t, Options{})
	tab.Go(server.URL + "/fine")
	if got := tab.Problems(); len(got) > 1 { // the icon is not allowed
		t.Errorf("a page without problems: %q", got)
	}
	tab.Go(server.URL + "/scripted")
	got := strings.Join(tab.Problems(), "\n")
	for _, want := range []string{"console.log", "exception: Uncaught ReferenceError", "Content Security Policy"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if !Eval[bool](tab, `document.body.dataset.ran === "yes"`) {
		t.Error("the script did not run")
	}
	off := browser.Tab(t, Options{NoScript: true})
	off.Go(server.URL + "/scripted")
	if Eval[bool](off, `document.body.dataset.ran === "yes"`) {
		t.Error("the script ran although scripts are off")
	}
}
