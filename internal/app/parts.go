package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/tail"
	"github.com/loginaudit/loginaudit/internal/web"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// checkNATS is ready while the connection is there.
func (p *process) checkNATS(nc *nats.Conn) {
	p.health.Add("nats", func(context.Context) error {
		if status := nc.Status(); status != nats.CONNECTED {
			return fmt.Errorf("connection is %s: %w", status, errors.Join(nc.LastError()))
		}
		return nil
	})
}

// ensureStreams makes the streams, or checks that they are there, as soon as
// the server answers. A server that answers no is not asked again.
func (p *process) ensureStreams(ctx context.Context, nc *nats.Conn, s StreamSettings, batch BatchSettings) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return p.retry(ctx, "nats", func(ctx context.Context) (again bool, err error) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		// A question that is denied is not answered: the connection as a whole
		// is told. There is no point in waiting for more.
		go cancelWhenDenied(ctx, cancel, nc)
		if s.Ensure {
			err = stream.Ensure(ctx, js, s.settings(batch))
		} else {
			_, _, err = stream.Open(ctx, js)
		}
		if err != nil && nc.IsClosed() {
			return false, refusedByNATS(nc, err)
		}
		if denied := nc.LastError(); err != nil && errors.Is(denied, nats.ErrPermissionViolation) {
			return false, fmt.Errorf("%w: %w (where this user may not make streams, \"loginaudit streams\" makes them as the operator; then set stream.ensure to false here)", err, denied)
		}
		return mayPass(err), err
	})
}

// refusedByNATS says why a connection that would be tried for ever is closed: the
// server has refused the key twice, and the client library then gives up.
func refusedByNATS(nc *nats.Conn, err error) error {
	why := cmp.Or(nc.LastError(), err)
	if errors.Is(why, nats.ErrAuthorization) {
		return fmt.Errorf("connect to NATS: %w (it does not know the key, see nats.nkey and nats.creds, or does not let it in)", why)
	}
	return fmt.Errorf("connect to NATS: %w", why)
}

// cancelWhenDenied watches until ctx ends.
func cancelWhenDenied(ctx context.Context, cancel context.CancelFunc, nc *nats.Conn) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
				cancel()
			}
		}
	}
}

// askTimeout bounds one round of questions to NATS.
const askTimeout = 10 * time.Second

// mayPass tells an error of asking NATS that may be over soon from an answer.
func mayPass(err error) bool {
	var mismatch *stream.MismatchError
	var answer *jetstream.APIError
	switch {
	case errors.As(err, &mismatch), errors.Is(err, nats.ErrPermissionViolation):
		return false
	case errors.As(err, &answer):
		return answer.Code >= 500 // "temporarily unavailable", no leader, and so on
	}
	return true
}

// opener opens the worker's source. One that somebody has deleted is made again
// by makeStreams, where that is not nil: what the stream still holds is ingested
// once more, which changes no answer. Where it is nil, the worker waits, not
// ready, until somebody else has made it.
func (p *process) opener(js jetstream.JetStream, makeStreams func(context.Context) error) openSource {
	return func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
		source, consumer, err := stream.Open(ctx, js)
		gone := errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound)
		switch {
		case !gone:
			return source, consumer, err
		case makeStreams == nil: // as an error that passes
			return nil, nil, fmt.Errorf("%s (\"loginaudit streams\" makes it)", err) //nolint:errorlint // see above
		}
		p.log.Error("the stream or its consumer was deleted, making it again", zap.Error(err))
		if err := makeStreams(ctx); err != nil {
			return nil, nil, fmt.Errorf("make streams again: %w", err)
		}
		return stream.Open(ctx, js)
	}
}

type openSource func(context.Context) (jetstream.Stream, jetstream.Consumer, error)

// ingest runs the worker from the stream into db.
func (p *process) ingest(ctx context.Context, js jetstream.JetStream, db *store.DB, s BatchSettings, open openSource) error {
	schema, err := p.watchSchema(ctx, db)
	if err != nil {
		return err
	}
	loop, err := ingest.New(ingest.Config{
		JetStream:   js,
		Open:        open,
		Sink:        schema.guard(sink{db}),
		Journal:     newJournal(js, db),
		Parked:      parkedState(js),
		Park:        parkAll(stream.NewParker(js)),
		Classify:    classify,
		Logger:      p.log.With(zap.String("component", "ingest")),
		Registerer:  p.registry,
		MaxMessages: s.BatchMessages,
		MaxBytes:    int(s.BatchBytes),
		MaxWait:     s.BatchWait,
		StopTimeout: p.stop / 3,
	})
	if err != nil {
		return fmt.Errorf("prepare ingest: %w", err)
	}
	p.health.Add("ingest", loop.Ready)
	p.health.Add("parking", loop.Parking)
	p.health.Add("watermark", loop.Telling)
	p.health.AddLive("ingest", loop.Live)
	p.life.Go("ingest", loop.Run)
	return nil
}

// query answers the API and the page from db on addr.
func (p *process) query(ctx context.Context, db *store.DB, token access.AdminToken, h HTTPSettings, a AnswerSettings) (*served, error) {
	config, err := ops.LoadTLS(h.TLSCert, h.TLSKey)
	if err != nil {
		return nil, err
	}
	if err := p.measure(ops.CertificateExpiry("http", config)); err != nil {
		return nil, err
	}
	auth := access.New(access.Config{Token: token, SecureCookies: h.SecureCookies})
	following, err := tail.New(tail.Config{Source: db, Log: p.log.With(zap.String("component", "tail")), Registerer: p.registry})
	if err != nil {
		return nil, fmt.Errorf("prepare query: %w", err)
	}
	server, err := web.New(web.Config{
		Store: db, Tail: following, Access: auth, Log: p.log.With(zap.String("component", "web")),
		Registerer: p.registry, QueryTimeout: a.Query.Timeout, Version: Version().Version,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare query: %w", err)
	}
	l, err := ops.Listen(ctx, "http.addr", h.Addr)
	if err != nil {
		return nil, err
	}
	// With SecureCookies somebody has said that a proxy speaks TLS.
	if config == nil && !h.SecureCookies && !ops.Loopback(ctx, l.Addr().String()) {
		p.log.Warn("the page and the API are served without TLS beyond this machine: put a proxy with TLS in front and set http-secure-cookies, or give http-tls-cert",
			zap.Stringer("addr", l.Addr()))
	}
	p.serve("http", l, server.Handler(), config)
	// It stops first: then its readers are gone when the server waits for requests.
	p.life.Go("tail", following.Run)
	return &served{addr: dialable(l.Addr()), bound: l.Addr(), tls: config != nil, auth: auth}, nil
}

// served is where the page is and who lets viewers in.
type served struct {
	addr  string // as it is dialled from this machine
	bound net.Addr
	tls   bool
	auth  *access.Authenticator
}
