package web

import (
	"net/http"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// problemView is why there is no answer.
type problemView struct {
	Status        int
	Title, Detail string
	// Errors are wrong parameters; those of a form are shown at its fields, too.
	Errors []problemError
	// RequestID finds the request in the log.
	RequestID string
	// Retry is the address to try again; "" where that leads nowhere.
	Retry string
}

type problemError struct {
	// Label names the parameter, Field is the id of its input; "" without one.
	Label, Field    string
	Detail, Allowed string
}

// fail shows a failure: who is not signed in is asked to; a list keeps its
// filters, with what is wrong beside them.
func (p *page) fail(w http.ResponseWriter, r *http.Request, f failure) {
	if f.slug == unauthorized.slug && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		http.Redirect(w, r, signInFor(r), http.StatusSeeOther)
		return
	}
	v := shownBy(r).view
	if v == nil {
		account, _ := pathValue(r, "account")
		if !accountForm.MatchString(account) || f.status == http.StatusForbidden {
			account = ""
		}
		v = &view{
			Template: "problem", Title: f.title, Account: account, Links: links{account: account},
			Clock: clock{now: p.now(), zone: time.UTC},
		}
	}
	v.Problem = &problemView{Status: f.status, Title: f.title, Detail: plain(f.detail), RequestID: requestIDOf(r)}
	switch f.slug {
	case unavailable.slug, internalError.slug, tooHeavy.slug:
		v.Problem.Retry = r.URL.RequestURI()
	case invalidParameter.slug:
		v.Problem.Detail = "No rows are shown, because the question has a mistake."
		v.Problem.Errors = problemErrors(v.Form, f.errors)
	}
	p.render(w, r, f.status, v)
}

// problemErrors tells each wrong parameter, by the label of its field.
func problemErrors(f *form, errors []query.ParameterError) []problemError {
	labels := map[string]string{}
	if f != nil {
		f.blame(errors)
		for _, field := range append(append([]field(nil), f.Fields...), f.More...) {
			labels[field.Name] = field.Label
		}
	}
	all := make([]problemError, len(errors))
	for i, e := range errors {
		all[i] = problemError{Label: plain(e.Parameter), Detail: plain(e.Detail), Allowed: e.Allowed}
		if label, ok := labels[e.Parameter]; ok {
			all[i].Label, all[i].Field = label, "f-"+e.Parameter
		}
	}
	return all
}

// signInBody is what the template sign-in shows.
type signInBody struct {
	signInView
	// Minutes is how long a link works.
	Minutes int
}

func (p *page) signInPage(w http.ResponseWriter, r *http.Request, status int, v signInView) {
	p.render(w, r, status, &view{
		Template: "sign-in", Title: "Sign in", Clock: clock{now: p.now(), zone: time.UTC},
		Body: signInBody{v, int(access.CodeLifetime.Minutes())},
	})
}
