package app

import (
	"context"
	"errors"
	"io"

	"github.com/loginaudit/loginaudit/client"
	"github.com/spf13/cobra"
)

const askLong = `

It asks the serve of --data-dir, or the API at --server with the token of
--token-file or LOGINAUDIT_TOKEN. Tables shorten long cells (--wide does not),
and show what could play tricks on a terminal as escapes such as \x1b.
--output json and ndjson are exact; csv is exact too, except that what a
spreadsheet would take for a formula has an apostrophe in front. Statuses and
entries are told by code or by name; times like 2026-11-01, 2026-11-01T09:30,
now, -24h. A name that begins with - goes behind --.`

// askCommand finishes a command that asks the API: names and dates complete
// nothing, the values of flags do.
func askCommand(cmd *cobra.Command) *cobra.Command {
	cmd.Long = cmd.Short + "." + cmd.Long + askLong
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	for _, name := range []string{
		"status", "entry", "kind", "outcome", "mfa-method", "state", "order", "sort", "format", "output", "logged-in", "never-logged-in",
	} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			// It fails for a flag that is not there, and for one that has it already.
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(completions(name), cobra.ShellCompDirectiveNoFileComp))
		}
	}
	for _, name := range []string{"logged-in", "never-logged-in"} {
		if flag := cmd.Flags().Lookup(name); flag != nil {
			flag.NoOptDefVal = "true"
		}
	}
	return cmd
}

// UsersSettings are those of "loginaudit users".
type UsersSettings struct {
	UserFilterSettings
	PageSettings
	AskSettings
}

// Validate names what is not allowed.
func (s UsersSettings) Validate() error {
	return errors.Join(s.UserFilterSettings.Validate(), s.PageSettings.Validate(), s.AskSettings.Validate())
}

func usersCommand() *cobra.Command {
	defaults := UsersSettings{PageSettings: PageSettings{Limit: defaultRows}, AskSettings: DefaultAsk()}
	cmd := &cobra.Command{Use: "users ACCOUNT", Short: "List the users of an account with their latest log-in, log-out, entry and status", Args: cobra.ExactArgs(1)}
	return askCommand(commandOf(cmd, defaults, func(cmd *cobra.Command, s UsersSettings, args []string) error {
		l := listing[client.User]{"users", userColumns(), func(ctx context.Context, c *client.Client, p client.Page) ([]client.User, *string, client.Watermark, error) {
			list, err := c.UsersPage(ctx, args[0], s.filter(s.AskSettings), p)
			return list.Users, list.NextCursor, list.Watermark, err
		}}
		return l.show(cmd, s.AskSettings, s.PageSettings)
	}))
}

// UserSettings are those of "loginaudit user".
type UserSettings struct {
	AsOf string `koanf:"as-of" help:"answer as of this time: later events do not exist"`
	AskSettings
}

// Validate names what is not allowed.
func (s UserSettings) Validate() error { return s.AskSettings.Validate() }

func userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user ACCOUNT USERNAME", Short: "Show one user: latest activity and open sessions", Args: cobra.ExactArgs(2)}
	return askCommand(commandOf(cmd, UserSettings{AskSettings: DefaultAsk()}, func(cmd *cobra.Command, s UserSettings, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		defer c.Close()
		u, err := c.User(cmd.Context(), args[0], args[1], client.MomentFilter{AsOf: client.Moment(s.AsOf), TZ: s.zoneFor(s.AsOf)})
		if err != nil {
			return told(cmd, err)
		}
		return showOne(cmd, s.AskSettings, u, u.User, func(out io.Writer, l look) error { return showUser(out, l, u) })
	}))
}

// HistorySettings are those of "loginaudit history".
type HistorySettings struct {
	AttemptFilterSettings
	PageSettings
	AskSettings
}

// Validate names what is not allowed.
func (s HistorySettings) Validate() error {
	return errors.Join(s.AttemptFilterSettings.Validate(), s.PageSettings.Validate(), s.AskSettings.Validate())
}

func historyCommand() *cobra.Command {
	defaults := HistorySettings{PageSettings: PageSettings{Limit: defaultRows}, AskSettings: DefaultAsk()}
	cmd := &cobra.Command{Use: "history ACCOUNT USERNAME", Short: "List the log-in history of a user, each session in a row", Args: cobra.ExactArgs(2)}
	return askCommand(commandOf(cmd, defaults, func(cmd *cobra.Command, s HistorySettings, args []string) error {
		l := listing[client.Attempt]{"attempts", attemptColumns(), func(ctx context.Context, c *client.Client, p client.Page) ([]client.Attempt, *string, client.Watermark, error) {
			list, err := c.AttemptsPage(ctx, args[0], args[1], s.filter(s.AskSettings), p)
			return list.Attempts, list.NextCursor, list.Watermark, err
		}}
		return l.show(cmd, s.AskSettings, s.PageSettings)
	}))
}

// EventsSettings are those of "loginaudit events".
type EventsSettings struct {
	RangeSettings
	EventFilterSettings
	PageSettings
	AskSettings
}

// Validate names what is not allowed.
func (s EventsSettings) Validate() error {
	return errors.Join(s.EventFilterSettings.Validate(), s.PageSettings.Validate(), s.AskSettings.Validate())
}

func eventsCommand() *cobra.Command {
	defaults := EventsSettings{PageSettings: PageSettings{Limit: defaultRows}, AskSettings: DefaultAsk()}
	cmd := &cobra.Command{Use: "events ACCOUNT", Short: "List the events of an account, or of one user (--username)", Args: cobra.ExactArgs(1)}
	return askCommand(commandOf(cmd, defaults, func(cmd *cobra.Command, s EventsSettings, args []string) error {
		f := s.within(s.filter(cmd.Flags().Changed), s.AskSettings)
		l := listing[client.Event]{"events", eventColumns(), func(ctx context.Context, c *client.Client, p client.Page) ([]client.Event, *string, client.Watermark, error) {
			list, err := c.EventsPage(ctx, args[0], f, p)
			return list.Events, list.NextCursor, list.Watermark, err
		}}
		return l.show(cmd, s.AskSettings, s.PageSettings)
	}))
}

// SessionsSettings are those of "loginaudit sessions".
type SessionsSettings struct {
	SessionFilterSettings
	PageSettings
	AskSettings
}

// Validate names what is not allowed.
func (s SessionsSettings) Validate() error {
	return errors.Join(s.PageSettings.Validate(), s.AskSettings.Validate())
}

func sessionsCommand() *cobra.Command {
	defaults := SessionsSettings{PageSettings: PageSettings{Limit: defaultRows}, AskSettings: DefaultAsk()}
	cmd := &cobra.Command{Use: "sessions ACCOUNT", Short: "List the sessions of an account; who was logged in at a moment (--at)", Args: cobra.ExactArgs(1)}
	return askCommand(commandOf(cmd, defaults, func(cmd *cobra.Command, s SessionsSettings, args []string) error {
		f := s.filter(s.AskSettings, cmd.Flags().Changed)
		l := listing[client.Session]{"sessions", sessionColumns(), func(ctx context.Context, c *client.Client, p client.Page) ([]client.Session, *string, client.Watermark, error) {
			list, err := c.SessionsPage(ctx, args[0], f, p)
			return list.Sessions, list.NextCursor, list.Watermark, err
		}}
		return l.show(cmd, s.AskSettings, s.PageSettings)
	}))
}

// EventSettings are those of "loginaudit event".
type EventSettings struct {
	StreamSeq int `koanf:"stream-seq" help:"of an id in conflict, the version with this sequence (default: the latest)"`
	AskSettings
}

// Validate names what is not allowed.
func (s EventSettings) Validate() error {
	var err error
	if s.StreamSeq < 0 {
		err = errors.New("stream-seq: it is negative")
	}
	return errors.Join(err, s.AskSettings.Validate())
}

func eventCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "event ACCOUNT ID", Short: "Show everything about one event: its fields, its attempt, what happened around it, its message", Args: cobra.ExactArgs(2)}
	return askCommand(commandOf(cmd, EventSettings{AskSettings: DefaultAsk()}, func(cmd *cobra.Command, s EventSettings, args []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		defer c.Close()
		d, err := c.Event(cmd.Context(), args[0], args[1], uint64(s.StreamSeq))
		if err != nil {
			return told(cmd, err)
		}
		return showOne(cmd, s.AskSettings, d, d.Event, func(out io.Writer, l look) error { return showEvent(out, l, d) })
	}))
}

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export ACCOUNT", Short: "Write all events that match, as ndjson, csv, parquet or ocsf", Args: cobra.ExactArgs(1),
		Long: `

There is no limit. With --out the file appears under its name only when the
server has proven the export whole, by the number of events and SHA-256; one
that breaks off leaves nothing. Without --out, or with a broken one, the exit
status tells: 0 is whole, 1 is not.`,
	}
	return askCommand(commandOf(cmd, DefaultExport(), func(cmd *cobra.Command, s ExportSettings, args []string) error {
		return exportTo(cmd, s, args[0])
	}))
}

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail ACCOUNT", Short: "Write events as they arrive, until it is interrupted", Args: cobra.ExactArgs(1),
		Long: `

The order is that of arrival. When the connection breaks or the server
restarts, it goes on where it was, and writes no event twice. What the server
had to leave out is told as a gap: beside the events, with --output ndjson as a
line {"gap":…} among them.`,
	}
	return askCommand(commandOf(cmd, DefaultTail(), func(cmd *cobra.Command, s TailSettings, args []string) error {
		return follow(cmd, s, args[0])
	}))
}
