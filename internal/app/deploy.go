package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// StreamsSettings are those of "loginaudit streams". The settings of the
// streams have the names that they have for ingest.
type StreamsSettings struct {
	// NATS names the operator, who may create and change streams.
	NATS NATSSettings `koanf:"nats"`

	StreamSettings `koanf:"stream"`
	BatchSettings  `koanf:"ingest"`
	ProcessSettings
}

// DefaultStreams expects NATS on this machine.
func DefaultStreams() StreamsSettings {
	return StreamsSettings{
		NATS:            NATSSettings{URL: "nats://" + defaultNATSAddr, InboxPrefix: defaultInbox},
		StreamSettings:  defaultStream(),
		BatchSettings:   defaultBatch(),
		ProcessSettings: defaultProcess(),
	}
}

// Validate names what is out of its range.
func (s StreamsSettings) Validate() error {
	return errors.Join(required("nats.url", s.NATS.URL), natsSchemes("nats.url", s.NATS.URL), s.NATS.validate(),
		s.StreamSettings.validate(), s.BatchSettings.validate(), s.ProcessSettings.validate())
}

// RunStreams creates the streams and the consumer of ingest, or updates them,
// and tells so. With stream.ensure=false it only looks whether they are there.
// It is for where ingest itself may not (stream.ensure=false there).
func RunStreams(ctx context.Context, s StreamsSettings, out io.Writer) error {
	client, err := s.NATS.client("loginaudit streams", false, zap.NewNop())
	if err != nil {
		return err
	}
	nc, err := client.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, s.StopTimeout)
	defer cancel()
	if err := (&process{log: zap.NewNop()}).ensureStreams(ctx, nc, s.StreamSettings, s.BatchSettings); err != nil {
		return fmt.Errorf("streams: %w", err)
	}
	done := "are there"
	if s.Ensure {
		done = "are as the settings say"
	}
	fmt.Fprintf(out, "%s, %s, %s and consumer %s %s\n", stream.Events, stream.Parked, stream.ParkedNotes, stream.Consumer, done)
	return nil
}

func streamsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "streams",
		Short: "Make the streams as the settings say, as NATS's operator",
		Long: `Create the streams LOGIN_EVENTS, LOGIN_PARKED and LOGIN_PARKED_NOTES and the
consumer of ingest, or update them, so that they are as the settings say. Doing
it again changes nothing. Run it where ingest logs in as a user who may not
change streams, and tell ingest --stream-ensure=false.`,
	}
	return commandOf(cmd, DefaultStreams(), func(cmd *cobra.Command, s StreamsSettings, _ []string) error {
		return RunStreams(cmd.Context(), s, cmd.OutOrStdout())
	})
}

// healthTimeout bounds the question; the checks behind /readyz take at most 2 s.
const healthTimeout = 5 * time.Second

// CheckHealth asks a URL, /readyz of an admin address as a rule, and returns nil
// if it answers 200, else what it answers.
func CheckHealth(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ops.Usagef("%q is not the URL of a health check, such as http://127.0.0.1:8081/readyz", address)
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("check health: %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health URL",
		Short: "Ask whether a process is ready; for health checks where there is no other client",
		Long: `Ask whether a process is ready: exit status 0 if URL, /readyz of its admin
address as a rule, answers 200, else 1 with the reason. It is for the health
check of a container, which has no other client.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return CheckHealth(cmd.Context(), args[0]) }
	return cmd
}
