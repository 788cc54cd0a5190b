// Package uitest lets tests drive a real browser. It is the only place that
// knows which library does so.
//
// The browser is Chromium or Google Chrome: the program that CHROME names, or
// the first that is found on PATH. A missing browser fails the test; it is
// never skipped. The browser reaches loopback addresses only.
package uitest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a test waits for the browser before it fails.
const patience = 90 * time.Second

// Names of keys for [Tab.Press].
const (
	Tabulator = kb.Tab
	Escape    = kb.Escape
	Enter     = kb.Enter
)

// Browser is a running browser.
type Browser struct{ ctx context.Context }

var errNoBrowser = errors.New("no browser: install chromium (Debian: apt-get install chromium) or google-chrome, " +
	"or name the program in CHROME; make browser does it")

// find is the path of the browser.
func find(env func(string) string, look func(string) (string, error)) (string, error) {
	if named := env("CHROME"); named != "" {
		path, err := look(named)
		if err != nil {
			return "", fmt.Errorf("CHROME: %w", err)
		}
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := look(name); err == nil {
			return path, nil
		}
	}
	return "", errNoBrowser
}

// Open starts a browser that ends with the test.
func Open(t testing.TB) *Browser {
	t.Helper()
	path, err := find(os.Getenv, exec.LookPath)
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en-GB"),
	)
	ctx, end := context.WithTimeout(context.Background(), patience)
	ctx, endProgram := chromedp.NewExecAllocator(ctx, options...)
	ctx, endBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		endBrowser()
		endProgram()
		end()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &Browser{ctx: ctx}
}

// Options say what a tab is like.
type Options struct {
	// Width and Height of the window in CSS pixels; 1280 by 900 when zero.
	Width, Height int
	// Dark asks pages for their dark colours.
	Dark bool
	// NoScript switches the scripts of pages off.
	NoScript bool
	// TimeZone is that of the browser; the machine's when empty.
	TimeZone string
}

// Tab is a tab with cookies of its own. Its methods fail the test where what
// they are told cannot be done.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

// Tab opens a tab that is closed with the test.
func (b *Browser) Tab(t testing.TB, o Options) *Tab {
	t.Helper()
	ctx, end := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	tab := &Tab{t: t, ctx: ctx}
	tab.Resize(o)
	tab.do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScript}))
	if o.TimeZone != "" {
		tab.do(call(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: o.TimeZone}))
	}
	if err := chromedp.Listen(ctx, tab.notice); err != nil {
		t.Fatal(err)
	}
	return tab
}

// Resize changes the size of the window and the colours that pages are asked
// for; the other options stay.
func (tab *Tab) Resize(o Options) {
	tab.t.Helper()
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	tab.do(chromedp.EmulateViewport(int64(cmp.Or(o.Width, 1280)), int64(cmp.Or(o.Height, 900))),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}))
}

func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// notice keeps what a page complains about.
func (tab *Tab) notice(ev any) {
	var problem string
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		problem = "exception: " + ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			problem += " " + ev.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		problem = "console." + string(ev.Type)
	case *cdplog.EventEntryAdded:
		if ev.Entry.Level == "verbose" {
			return // advice
		}
		problem = fmt.Sprintf("%s %s: %s %s", ev.Entry.Source, ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
	case *network.EventLoadingFailed:
		if !ev.Canceled {
			problem = "not loaded: " + ev.ErrorText + string(ev.BlockedReason)
		}
	}
	if problem != "" {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		tab.problems = append(tab.problems, problem)
	}
}

// Problems is what pages complained about since it was last asked: violations
// of the Content-Security-Policy, exceptions, whatever is written to the
// console, and what could not be loaded.
func (tab *Tab) Problems() []string {
	tab.t.Helper()
	tab.do(chromedp.Evaluate[chromedp.Void]("undefined")) // events before this answer are here by now
	tab.mu.Lock()
	defer tab.mu.Unlock()
	problems := tab.problems
	tab.problems = nil
	return problems
}

func (tab *Tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := chromedp.Do(tab.ctx, steps...); err != nil {
		tab.t.Fatal(err)
	}
}

func run[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.t.Helper()
	v, err := chromedp.Run(tab.ctx, action)
	if err != nil {
		tab.t.Fatal(err)
	}
	return v
}

// Go opens an address and gives the status of the answer.
func (tab *Tab) Go(address string) (status int) {
	tab.t.Helper()
	return int(run(tab, chromedp.NavigateResponse(address)).Status)
}

// Follow clicks what the CSS selector names, waits for the page that it leads
// to, and gives the status of the answer.
func (tab *Tab) Follow(selector string) (status int) {
	tab.t.Helper()
	r, err := chromedp.RunResponse(tab.ctx, chromedp.Click(chromedp.CSS(selector)))
	if err != nil {
		tab.t.Fatalf("follow %s: %v", selector, err)
	}
	if r == nil {
		return http.StatusOK
	}
	return int(r.Status)
}

// FollowAt clicks the middle of an element, whatever lies there, and waits
// for the page that it leads to.
func (tab *Tab) FollowAt(selector string) {
	tab.t.Helper()
	x, y := tab.middle(selector)
	if _, err := chromedp.RunResponse(tab.ctx, chromedp.MouseClickXY(x, y)); err != nil {
		tab.t.Fatalf("follow %s: %v", selector, err)
	}
}

// Click clicks what leads nowhere.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.do(chromedp.Click(chromedp.CSS(selector)))
}

// Hover moves the mouse to the middle of an element.
func (tab *Tab) Hover(selector string) {
	tab.t.Helper()
	x, y := tab.middle(selector)
	tab.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y))
}

// Leave moves the mouse to the corner of the window.
func (tab *Tab) Leave() {
	tab.t.Helper()
	tab.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 1, 1))
}

func (tab *Tab) middle(selector string) (x, y float64) {
	tab.t.Helper()
	at := Eval[[]float64](tab, fmt.Sprintf(`(() => {
		const e = document.querySelector(%q);
		if (!e) return [];
		e.scrollIntoView({block: "nearest"});
		const r = e.getBoundingClientRect();
		return [r.x + r.width / 2, r.y + r.height / 2];
	})()`, selector))
	if len(at) != 2 {
		tab.t.Fatalf("nothing is %s", selector)
	}
	return at[0], at[1]
}

// Focus puts the keyboard to an element, as a key press would.
func (tab *Tab) Focus(selector string) {
	tab.t.Helper()
	tab.do(chromedp.Focus(chromedp.CSS(selector)))
}

// Press presses keys.
func (tab *Tab) Press(keys string) {
	tab.t.Helper()
	tab.do(chromedp.KeyEvent(keys))
}

// Fill replaces what stands in a field, by keys.
func (tab *Tab) Fill(selector, text string) {
	tab.t.Helper()
	tab.do(chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)),
		chromedp.KeyEvent(kb.Backspace))
	if text != "" {
		tab.do(chromedp.KeyEvent(text))
	}
}

// Text is what an element says, as far as it is seen.
func (tab *Tab) Text(selector string) string {
	tab.t.Helper()
	return strings.Join(strings.Fields(run(tab, chromedp.Text(chromedp.CSS(selector)))), " ")
}

// Title is that of the window.
func (tab *Tab) Title() string {
	tab.t.Helper()
	return run(tab, chromedp.Title())
}

// Address is where the tab is.
func (tab *Tab) Address() string {
	tab.t.Helper()
	return run(tab, chromedp.Location())
}

// Seen reports whether an element is there and shown.
func (tab *Tab) Seen(selector string) bool {
	tab.t.Helper()
	return Eval[bool](tab, fmt.Sprintf(
		`!!document.querySelector(%q)?.checkVisibility({visibilityProperty: true, opacityProperty: true})`, selector))
}

// Screenshot writes a picture of the window, or of the whole page, as PNG.
func (tab *Tab) Screenshot(path string, whole bool) {
	tab.t.Helper()
	shoot := chromedp.CaptureScreenshot()
	if whole {
		const png = 100
		shoot = chromedp.FullScreenshot(png)
	}
	if err := os.WriteFile(path, run(tab, shoot), 0o600); err != nil {
		tab.t.Fatal(err)
	}
}

// Eval is the value of a JavaScript expression in the page. It works also
// where the page's own scripts are off.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	return run(tab, chromedp.Evaluate[T](expression))
}
