package web

import (
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Nobody should narrow a question because the database hangs.
func TestAStoreThatAnswersNobodyIsUnavailableAlsoWhenTheTimeIsOver(t *testing.T) {
	s := serve(t)
	s.queryTimeout = time.Nanosecond
	s.shapes.err = query.ErrUnavailable
	wantProblem(t, s.get(acme+"/events"), unavailable)
}
