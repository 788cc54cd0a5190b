package ingest_test

import (
	"context"
	"time"

	"github.com/loginaudit/loginaudit/internal/ingest"
)

// Known and Tell make the sink the journal too: several loops share it.
func (s *sink) Known(context.Context, string) (ingest.Known, error) {
	if s.onKnown != nil {
		if err := s.onKnown(); err != nil {
			return ingest.Known{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Now = time.Now()
	return s.known, nil
}

func (s *sink) Tell(_ context.Context, t ingest.Tidings) error {
	if s.onMark != nil {
		if err := s.onMark(t.Watermark); err != nil {
			return err
		}
	}
	s.change(func() {
		s.marks, s.gaps = append(s.marks, t.Watermark), append(s.gaps, t.Gaps...)
		s.tidings = t
		s.count()
		k := &s.known
		switch {
		case !k.Found, k.Generation < t.Watermark.Generation:
			k.Watermark, k.Anchor, k.Found = t.Watermark, t.Anchor, true
		case k.Generation == t.Watermark.Generation:
			k.Seq = max(k.Seq, t.Watermark.Seq)
			if t.Watermark.Time.After(k.Time) {
				k.Time = t.Watermark.Time
			}
			if t.Anchor.Seq > k.Anchor.Seq {
				k.Anchor = t.Anchor
			}
		}
	})
	return nil
}

// count keeps the gaps as a journal does: by their beginning, each as it grew.
func (s *sink) count() {
	type key struct {
		generation uint32
		from       uint64
		reason     ingest.GapReason
	}
	grown := map[key]uint64{}
	for _, g := range s.gaps {
		k := key{g.Generation, g.From, g.Reason}
		grown[k] = max(grown[k], g.Messages)
	}
	s.known.Gaps, s.known.Expired = uint64(len(grown)), 0
	for k, n := range grown {
		if k.reason == ingest.GapExpired {
			s.known.Expired += n
		}
	}
}
