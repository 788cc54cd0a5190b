package web

import (
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

type htmlNode = html.Node

func parseHTML(t testing.TB, body string) *htmlNode {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// all is the elements that the selector names.
func (p shownPage) all(t testing.TB, selector string) []*htmlNode {
	t.Helper()
	if p.doc == nil {
		t.Fatalf("no page but %d: %s", p.Status, p.Body)
	}
	return cascadia.QueryAll(p.doc, cascadia.MustCompile(selector))
}

// one is the only element that the selector names.
func (p shownPage) one(t testing.TB, selector string) *htmlNode {
	t.Helper()
	found := p.all(t, selector)
	if len(found) != 1 {
		t.Fatalf("%d elements are %s in a page with status %d: %.300s", len(found), selector, p.Status, textOf(p.doc))
	}
	return found[0]
}

// has reports whether there is an element that the selector names.
func (p shownPage) has(t testing.TB, selector string) bool {
	t.Helper()
	return len(p.all(t, selector)) > 0
}

// text is what the only such element says, with white space folded.
func (p shownPage) text(t testing.TB, selector string) string {
	t.Helper()
	return textOf(p.one(t, selector))
}

// texts is what each such element says.
func (p shownPage) texts(t testing.TB, selector string) []string {
	t.Helper()
	var all []string
	for _, n := range p.all(t, selector) {
		all = append(all, textOf(n))
	}
	return all
}

// href is where the only such element leads.
func (p shownPage) href(t testing.TB, selector string) string {
	t.Helper()
	return attribute(p.one(t, selector), "href")
}

// textOf is what assistive technology reads of n, with white space folded.
func textOf(n *htmlNode) string {
	var b strings.Builder
	var read func(*htmlNode)
	read = func(n *htmlNode) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
		if attribute(n, "aria-hidden") == "true" {
			return
		}
		for c := range n.ChildNodes() {
			read(c)
		}
	}
	read(n)
	return strings.Join(strings.Fields(b.String()), " ")
}

func attribute(n *htmlNode, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
