package ingest

import (
	"sync"

	"go.uber.org/zap"
)

const (
	// fewestRows is below what rows are not halved for being too many at once: so
	// few take little of any memory, and ever smaller inserts would only make more
	// parts for ClickHouse to merge.
	fewestRows = 100
	// enoughFitted is how many inserts must have fitted until twice as many rows are
	// tried: where the store stays short of memory, few are refused.
	enoughFitted = 16
)

// portion is how many rows of a batch go into one insert: all, unless the store
// could not take as many. Then half as many, and so on; and after a while twice as
// many again, until it is all. The same events may be cut into inserts in any way.
type portion struct {
	mu     sync.Mutex
	rows   int // 0: all
	fitted int // inserts since rows changed
}

// end is where an insert of the rows [from, to) is to end.
func (p *portion) end(from, to int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows == 0 {
		return to
	}
	return min(from+p.rows, to)
}

// tooLarge tells that the store could not take so many rows at once.
func (p *portion) tooLarge(rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	half := max((rows+1)/2, fewestRows)
	if half < rows && (p.rows == 0 || half < p.rows) {
		p.rows = half
	}
	p.fitted = 0
}

// fits tells that the store took an insert. It gives how many rows the next may
// have where that changes, 0 for all.
func (p *portion) fits(most int) (rows int, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rows == 0 {
		return 0, false
	}
	if p.fitted++; p.fitted < enoughFitted {
		return p.rows, false
	}
	p.rows, p.fitted = 2*p.rows, 0
	if p.rows >= most {
		p.rows = 0
	}
	return p.rows, true
}

// fits notes an insert that the store took.
func (l *Loop) fits() {
	switch rows, changed := l.portion.fits(l.config.MaxMessages); {
	case !changed:
	case rows == 0:
		l.log.Info("inserts have their full size again")
	default:
		l.log.Info("inserts grow again", zap.Int("next_size", rows))
	}
}
