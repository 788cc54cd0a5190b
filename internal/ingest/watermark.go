package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// askTimeout bounds the questions about the stream, tellTimeout the telling of a
// mark. What is not answered is asked again soon.
const (
	askTimeout  = 2 * time.Second
	tellTimeout = 10 * time.Second
)

// tellWatermarks tells the watermark after every batch and every WatermarkEvery,
// until ctx ends, and then once more. It has a goroutine of its own, so that
// ingest never waits for it.
func (l *Loop) tellWatermarks(ctx context.Context, stopping <-chan struct{}) {
	ticker := time.NewTicker(l.config.WatermarkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			select {
			case <-stopping: // a graceful stop: the last batch counts too
				l.tellWatermark(context.WithoutCancel(ctx))
			default:
			}
			return
		case <-ticker.C:
		case <-l.progress:
		}
		l.tellWatermark(ctx)
	}
}

func (l *Loop) tellWatermark(ctx context.Context) {
	src := l.source.Load()
	if src == nil {
		return
	}
	mark, err := l.measure(ctx, src)
	if err == nil {
		telling, cancel := context.WithTimeout(ctx, tellTimeout)
		defer cancel()
		err = l.config.Sink.SetWatermark(telling, mark)
	}
	if err != nil && ctx.Err() == nil {
		l.metrics.watermarkFailures.Inc()
		l.log.Warn("cannot tell the watermark", zap.Error(err))
	}
}

// errChanged: the stream was deleted and created again between two questions.
var errChanged = errors.New("the stream changed meanwhile")

// measure finds out how far the stream is stored.
//
// The consumer's acknowledgement floor is the sequence up to which every message
// is acknowledged, by whichever worker, and a message is acknowledged only when
// it is stored or parked. The stream is asked before and after: the same
// incarnation both times means that the floor is of this incarnation, and what
// the stream had acknowledged to publishers by the first answer has a sequence
// no greater than the last one of the second answer.
func (l *Loop) measure(ctx context.Context, src *source) (Watermark, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	before, err := src.stream.Info(ctx)
	if err != nil {
		return Watermark{}, fmt.Errorf("ask for stream: %w", err)
	}
	consumer, err := src.consumer.Info(ctx)
	if err != nil {
		return Watermark{}, fmt.Errorf("ask for consumer: %w", err)
	}
	after, err := src.stream.Info(ctx)
	if err != nil {
		return Watermark{}, fmt.Errorf("ask for stream: %w", err)
	}
	if !before.Created.Equal(after.Created) || consumer.Created.Before(before.Created) {
		return Watermark{}, errChanged
	}
	floor, last := consumer.AckFloor.Stream, after.State.LastSeq
	if floor > last {
		return Watermark{}, fmt.Errorf("the consumer is at %d, ahead of the stream's last sequence %d: the stream lost messages", floor, last)
	}
	mark := Watermark{Stream: before.Config.Name, StreamCreated: before.Created, Seq: floor}
	if floor == last {
		mark.Time = before.TimeStamp
	} else {
		mark.Time = l.timeAt(ctx, src.stream, mark)
	}
	l.lastKnown = mark
	l.measured(mark, after)
	return mark, nil
}

// timeAt is the time of the message at the mark: what the stream acknowledged
// before it has a smaller sequence. Where the message is no longer there, an
// earlier mark's time is still true, unless the floor went back.
func (l *Loop) timeAt(ctx context.Context, stream jetstream.Stream, mark Watermark) time.Time {
	if mark.Seq > 0 {
		if msg, err := stream.GetMsg(ctx, mark.Seq); err == nil {
			return msg.Time
		}
	}
	known := l.lastKnown
	if known.Stream == mark.Stream && known.StreamCreated.Equal(mark.StreamCreated) && known.Seq <= mark.Seq {
		return known.Time
	}
	return time.Time{}
}

func (l *Loop) measured(mark Watermark, info *jetstream.StreamInfo) {
	l.metrics.lagMessages.Set(float64(info.State.LastSeq - mark.Seq))
	if !mark.Time.IsZero() {
		l.metrics.lagSeconds.Set(max(info.TimeStamp.Sub(mark.Time).Seconds(), 0))
	}
	// Retention took messages that were never ingested.
	expired := uint64(0)
	if first := info.State.FirstSeq; first > mark.Seq+1 {
		expired = first - mark.Seq - 1
	}
	if expired > l.expired {
		l.log.Error("messages expired before they were ingested", zap.Uint64("stream_seq", mark.Seq+1), zap.Uint64("messages", expired))
	}
	l.expired = expired
	l.metrics.expired.Set(float64(expired))
}
