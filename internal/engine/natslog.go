package engine

import (
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// natsLog hands what the server logs to zap, and keeps the last fatal error:
// the server does not return it.
type natsLog struct {
	log *zap.Logger

	mu    sync.Mutex
	fatal error
}

func newNATSLog(log *zap.Logger) *natsLog {
	return &natsLog{log: log.WithOptions(zap.AddCallerSkip(1))}
}

func (l *natsLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = nil
}

func (l *natsLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// Noticef takes what is worth a line on a server of its own: here it is detail.
func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Warnf takes warnings.
func (l *natsLog) Warnf(format string, v ...any) { l.log.Warn(fmt.Sprintf(format, v...)) }

// Errorf takes errors.
func (l *natsLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }

// Fatalf takes what the server cannot go on after. It does not end the process.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = fmt.Errorf(format, v...) //nolint:err113 // the server's own words
	l.log.Error(l.fatal.Error())
}

// Debugf and Tracef are off.
func (l *natsLog) Debugf(string, ...any) {}

// Tracef is off.
func (l *natsLog) Tracef(string, ...any) {}
