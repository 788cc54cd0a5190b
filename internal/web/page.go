package web

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// The page asks the same questions as the API, with the same parameters, and
// shows the answers as HTML that was rendered whole before any of it is sent.
// The address is the whole state: forms are GET, and it works without
// JavaScript.

// pagePolicy lets a page load what this server has, and nothing inline. Trusted
// Types leave no way from a text to a script.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// page shows what a Server answers.
type page struct {
	*Server
	assets assets
}

// pageRoutes adds the page.
func (s *Server) pageRoutes(r chi.Router) {
	p := &page{Server: s, assets: newAssets()}
	s.pages = pages{fail: p.fail, signIn: p.signInPage}
	p.assets.routes(r)
	r.Group(func(r chi.Router) {
		r.Use(withShown)
		get(r, "/", s.forViewers(p.accounts))
		for _, route := range p.routes() {
			get(r, securityPath+route.path, s.forRight(route.right, route.handle))
		}
	})
}

// routes are the pages about an account, below securityPath.
func (p *page) routes() []accountRoute {
	return []accountRoute{
		{"", access.SecurityRead, p.usersPage},
		{"/users/{username}", access.SecurityRead, p.historyPage},
		{"/user", access.SecurityRead, p.historyPage},
		{"/events", access.SecurityRead, p.eventsPage},
		{"/events/{id}", access.SecurityRead, p.detailsPage},
		{"/event", access.SecurityRead, p.detailsPage},
	}
}

//go:embed templates/*.html
var templateFiles embed.FS

// templates are parsed when the program starts: a broken one is never shipped.
var templates = parseTemplates("accounts", "users", "history", "events", "details", "problem", "sign-in")

func parseTemplates(names ...string) map[string]*template.Template {
	base := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"visible": visible, "lines": visibleLines, "plain": plain, "legend": query.Codes,
	}).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html", "templates/form.html", "templates/rows.html"))
	parsed := make(map[string]*template.Template, len(names))
	for _, name := range names {
		parsed[name] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return parsed
}

// view is what every template is given.
type view struct {
	// Template names the file.
	Template string
	// Title is that of the window, without control characters.
	Title string
	// Account is whose data is shown; "" where it is nobody's.
	Account string
	// Tab is the part of the account that is shown: users, events or neither.
	Tab   string
	Links links
	// SignedIn shows the way out.
	SignedIn bool
	Assets   assets
	Clock    clock
	// Freshness is how complete the answer is; nil where nothing was answered.
	Freshness *freshness
	// Form holds the filters of a list.
	Form *form
	// Problem is why there is no answer.
	Problem *problemView
	// Body is what the template shows besides.
	Body any
}

// render sends v whole, or a bare message where a template fails.
func (p *page) render(w http.ResponseWriter, r *http.Request, status int, v *view) {
	v.Assets = p.assets
	_, err := p.authenticate(r)
	v.SignedIn = err == nil
	var body bytes.Buffer
	if err := templates[v.Template].Execute(&body, v); err != nil {
		p.log.Error("page is broken", zap.String("request_id", requestIDOf(r)),
			zap.String("template", v.Template), zap.Error(err))
		plainFailure(w, r, internalError.because(internalError.detail))
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	writeBody(w, status, "text/html; charset=utf-8", body.Bytes())
}

// shown is the view that a handler was about to show, so that a page that
// fails still has its filters. It lives as long as its request.
type shown struct{ view *view }

type shownKey struct{}

func withShown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), shownKey{}, &shown{})))
	})
}

func shownBy(r *http.Request) *shown {
	if s, ok := r.Context().Value(shownKey{}).(*shown); ok {
		return s
	}
	return &shown{}
}

// freshness tells how complete an answer is.
type freshness struct {
	// Known is false before the first report.
	Known bool
	// To is the moment up to which nothing is missing.
	To moment
	// Behind is how far that lies behind the answer, in words.
	Behind string
	// Stale warns that recent log-ins may be missing.
	Stale bool
	Seq   uint64
}

// staleAfter is the lag above which a page warns.
const staleAfter = 10 * time.Second

func (c clock) freshness(m query.Watermark) *freshness {
	if m.Time == nil {
		return &freshness{Stale: true}
	}
	lag := time.Duration(m.LagMS) * time.Millisecond
	f := &freshness{Known: true, To: c.at(*m.Time), Stale: lag > staleAfter, Seq: m.StreamSeq}
	if lag < time.Minute {
		f.Behind = fmt.Sprintf("%.1f s", lag.Seconds())
	} else {
		f.Behind = inWords(lag)
	}
	return f
}

// accountsBody is what the template accounts shows.
type accountsBody struct{ Accounts []accountLink }

type accountLink struct{ Name, Href string }

// accounts lists the accounts that the viewer may see, or shows the only one.
func (p *page) accounts(w http.ResponseWriter, r *http.Request) error {
	all, err := p.store.Accounts(r.Context())
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}
	body := accountsBody{}
	for _, account := range all {
		if viewerOf(r).Can(access.SecurityRead, account) {
			body.Accounts = append(body.Accounts, accountLink{account, links{account: account}.Users(nil)})
		}
	}
	if len(body.Accounts) == 1 {
		http.Redirect(w, r, body.Accounts[0].Href, http.StatusSeeOther)
		return nil
	}
	mark, err := p.store.Watermark(r.Context())
	if err != nil {
		return fmt.Errorf("read watermark: %w", err)
	}
	c := clock{now: p.now(), zone: time.UTC}
	p.render(w, r, http.StatusOK, &view{
		Template: "accounts", Title: "Accounts", Clock: c, Freshness: c.freshness(mark), Body: body,
	})
	return nil
}
