package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// statusTimeout bounds the question for the status, which reads a few rows.
const statusTimeout = 5 * time.Second

// status tells the whole pipeline. It holds nothing of any account, and is for
// whoever has valid credentials. That the pipeline is behind is an answer too.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.ParseNone(values); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(statusTimeout, s.queryTimeout))
	defer cancel()
	status, err := s.store.Status(ctx)
	switch {
	case err == nil:
	case !errors.Is(r.Context().Err(), context.Canceled) && (ctx.Err() != nil || errors.Is(err, query.ErrTooHeavy)):
		// There is nothing to narrow: the store is too slow to be of use.
		return fmt.Errorf("show status: %w: %w", unavailable.because(unavailable.detail), err)
	default:
		return fmt.Errorf("show status: %w", err)
	}
	status.Versions.Loginaudit = s.version
	status.Gaps, status.Workers = list(status.Gaps), list(status.Workers)
	status.Judge()
	return writeJSON(w, status)
}
