package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// narrowed is an error with a narrower question, which is told where the
// question was too heavy.
type narrowed struct {
	error
	proposal proposal
}

func (n narrowed) Unwrap() error { return n.error }

// proposal is a narrower question.
type proposal struct {
	Start query.Timestamp `json:"start"`
	End   query.Timestamp `json:"end"`
	// URL is its address, relative to this service, from the first page.
	URL string `json:"url"`
}

// orNarrower is err with a proposal, where the range that was asked for can be
// narrowed.
func (q question) orNarrower(r *http.Request, err error, a query.Asking) error {
	a.Now = q.asked.Now
	n, ok := a.Narrower()
	if !ok {
		return err
	}
	p := proposal{Start: query.At(n.Start), End: query.At(n.End)}
	p.URL = q.address(r, "start", p.Start.String(), "end", p.End.String(), "cursor", "")
	return narrowed{error: err, proposal: p}
}

// narrower tells of a question that was too heavy.
func narrower(err error) failure {
	var n narrowed
	if !errors.As(err, &n) {
		return tooHeavy.because(tooHeavy.detail)
	}
	f := tooHeavy.because(fmt.Sprintf("this reads more than one question may: narrow the range, such as to %s until %s, or add a filter",
		n.proposal.Start, n.proposal.End))
	f.proposal = &n.proposal
	return f
}

// reached is the time of the last row of the page before; zero on the first.
func reached(p *query.Position) time.Time {
	if p == nil {
		return time.Time{}
	}
	return p.At
}
