package ops

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// LogSettings say what is logged and how.
type LogSettings struct {
	// Level is debug, info, warn or error. It can be changed while running at
	// /log/level of the admin address.
	Level string `koanf:"level" help:"what is logged: debug, info, warn or error"`
	// Format is json, console, or auto: console on a terminal, else json.
	Format string `koanf:"format" help:"form of the log: json, console, or auto (console on a terminal)"`
}

// DefaultLog is info, in the form that fits where it goes.
func DefaultLog() LogSettings { return LogSettings{Level: "info", Format: "auto"} }

// Validate checks both.
func (s LogSettings) Validate() error {
	if _, err := zapcore.ParseLevel(s.Level); err != nil {
		return fmt.Errorf("log.level: %q is not allowed; use debug, info, warn or error", s.Level)
	}
	switch s.Format {
	case "json", "console", "auto":
		return nil
	}
	return fmt.Errorf("log.format: %q is not allowed; use json, console or auto", s.Format)
}

// NewLogger logs to out, usually standard error: RFC 3339 times in UTC,
// snake_case keys. The level returned can be changed at any time.
func NewLogger(s LogSettings, out *os.File) (*zap.Logger, zap.AtomicLevel, error) {
	if err := s.Validate(); err != nil {
		return nil, zap.AtomicLevel{}, err
	}
	level, err := zap.ParseAtomicLevel(s.Level)
	if err != nil {
		return nil, zap.AtomicLevel{}, fmt.Errorf("parse log level: %w", err)
	}
	config := zap.NewProductionEncoderConfig()
	config.TimeKey = "time"
	config.MessageKey = "message"
	config.EncodeTime = func(t time.Time, out zapcore.PrimitiveArrayEncoder) {
		zapcore.RFC3339NanoTimeEncoder(t.UTC(), out)
	}
	config.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(config)
	if s.Format == "console" || s.Format == "auto" && term.IsTerminal(int(out.Fd())) {
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(out), level)), level, nil
}
