package app

import (
	"github.com/spf13/cobra"
)

// IngestCommand is the command ingest.
func IngestCommand() *cobra.Command {
	root := service(&cobra.Command{
		Use:   "ingest",
		Short: "Move log-in events from NATS JetStream into ClickHouse",
		Long: `Move log-in events from NATS JetStream into ClickHouse.

An event is acknowledged only after ClickHouse has it durably; what is invalid
is parked in LOGIN_PARKED. Several of it may run at once. The schema is made by
"loginaudit migrate".

Every flag is a LOGINAUDIT_* variable too, and a key of the --config file:
--nats-url is LOGINAUDIT_NATS_URL and "url" under "nats".`,
	}, DefaultIngest(), RunIngest)
	root.AddCommand(settingsCommand("ingest", DefaultIngest()), versionCommand())
	return root
}

// QueryCommand is the command query.
func QueryCommand() *cobra.Command {
	root := service(&cobra.Command{
		Use:   "query",
		Short: "Answer the API and the page from ClickHouse",
		Long: `Answer the API and the page from ClickHouse.

Several of it may run at once. It needs the password of a ClickHouse user that
may only read, and the API token that opens everything; neither can be given on
the command line, where others could read it.

Every flag is a LOGINAUDIT_* variable too, and a key of the --config file:
--http-addr is LOGINAUDIT_HTTP_ADDR and "addr" under "http".`,
	}, DefaultQuery(), RunQuery)
	root.AddCommand(settingsCommand("query", DefaultQuery()), versionCommand())
	return root
}

// LoginauditCommand is the operator's tool.
func LoginauditCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "loginaudit",
		Short: "Who logged in, when, how and from where",
		Long: `Who logged in, when, how and from where.

"loginaudit serve" runs the whole system on this machine; "emit" fills it with
made-up log-ins to look at. Every flag is a LOGINAUDIT_* variable too, and a
key of the --config file: --http-addr is LOGINAUDIT_HTTP_ADDR and "addr" under
"http". Exit status: 0 done, 1 failed, 2 called wrongly.`,
	},
		usersCommand(), userCommand(), historyCommand(), eventsCommand(), sessionsCommand(), eventCommand(), exportCommand(), tailCommand(),
		serveCommand(), migrateCommand(), streamsCommand(), importCommand(), emitCommand(), parkedCommand(), nkeyCommand(), healthCommand(),
		settingsCommand("serve", DefaultServe()), versionCommand(),
	)
}

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the whole system on this machine: NATS and ClickHouse embedded, ingest, query, page",
		Long: `Run the whole system on this machine, in one process tree: NATS JetStream and
ClickHouse embedded, ingest, query and the page. Everything lasts in --data-dir.

Once it serves, DIR/addresses.json says where ("http", "nats", "admin",
"clickhouse", each HOST:PORT) and /readyz on the admin address answers 200.
DIR/admin.token holds an API token with every right, DIR/publisher.nk the key
with which publishers log in to NATS from elsewhere than this machine.`,
	}
	return withSettings(cmd, DefaultServe(), func(cmd *cobra.Command, s ServeSettings, shown map[string]any, _ []string) error {
		return RunServe(cmd.Context(), s, shown, cmd.OutOrStdout())
	})
}

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema in ClickHouse up to date, as its owner",
		Long: `Bring the schema in ClickHouse up to date, as its owner: apply the migrations
that it lacks, make views and projections again that somebody has dropped, and
fill these from the events. Doing it again changes nothing, and it may be
interrupted. What is there and is different it leaves alone, and tells.`,
	}
	return commandOf(cmd, DefaultMigrate(), func(cmd *cobra.Command, s MigrateSettings, _ []string) error {
		return RunMigrate(cmd.Context(), s, cmd.OutOrStdout())
	})
}

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE.ndjson...",
		Short: "Publish events from files, one JSON object a line; - is the standard input",
		Long: `Publish events from files, one JSON object a line; - is the standard input.

Each line is published byte for byte once it is checked. A line that is invalid
is not published but told with its number and the reason. Interrupting it or
running it again does no harm: the same event is one event, however often it is
published. The last line counts: published=N duplicate=N rejected=N. Exit
status 1 if any line was rejected or not confirmed.`,
		Args: cobra.MinimumNArgs(1),
	}
	return commandOf(cmd, DefaultImport(), func(cmd *cobra.Command, s ImportSettings, files []string) error {
		return Import(cmd.Context(), s, files, streamsOf(cmd))
	})
}

func emitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "emit",
		Short: "Publish realistic made-up traffic",
		Long: `Publish realistic made-up traffic: people with working hours, devices and second
factors, machines with nightly jobs, and the things that go wrong. With
--history it first fills the past; the same seed fills the same events, so
doing it twice adds nothing. Then it goes on live.`,
	}
	return commandOf(cmd, DefaultEmit(), func(cmd *cobra.Command, s EmitSettings, _ []string) error {
		return Emit(cmd.Context(), s, streamsOf(cmd))
	})
}
