package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The exit statuses of every command.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// Execute runs a command until it ends or SIGINT or SIGTERM asks it to stop,
// and gives its exit status. A second signal kills at once.
func Execute(root *cobra.Command, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the next signal is not caught any more
	return ExecuteContext(ctx, root, args)
}

// ExecuteContext is Execute without the signals.
func ExecuteContext(ctx context.Context, root *cobra.Command, args []string) int {
	started := false // errors before that are mistakes in the call
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}
	fmt.Fprintf(root.ErrOrStderr(), "%s: %s\n", root.Name(), err)
	var usage *ops.UsageError
	if !started || errors.As(err, &usage) {
		fmt.Fprintf(root.ErrOrStderr(), "see \"%s --help\"\n", cmd.CommandPath())
		return ExitUsage
	}
	return ExitFailed
}

// commandOf makes a cobra command out of settings and what to do with them.
// Whatever is in cmd already (names, help, arguments) stays.
func commandOf[T any](cmd *cobra.Command, defaults T, run func(cmd *cobra.Command, s T, args []string) error) *cobra.Command {
	return withSettings(cmd, defaults, func(cmd *cobra.Command, s T, _ map[string]any, args []string) error {
		return run(cmd, s, args)
	})
}

// service is commandOf for what runs until it is stopped: run gets the settings
// as they may be logged, and a command "settings" below it prints them.
func service[T any](cmd *cobra.Command, defaults T, run func(ctx context.Context, s T, shown map[string]any) error) *cobra.Command {
	cmd.Args = cobra.NoArgs
	return withSettings(cmd, defaults, func(cmd *cobra.Command, s T, shown map[string]any, _ []string) error {
		return run(cmd.Context(), s, shown)
	})
}

func withSettings[T any](cmd *cobra.Command, defaults T, run func(cmd *cobra.Command, s T, shown map[string]any, args []string) error) *cobra.Command {
	if cmd.Args == nil {
		cmd.Args = cobra.NoArgs
	}
	settings := ops.NewSettings(cmd.Flags(), defaults)
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := settings.Load(os.Environ())
		if err != nil {
			return err
		}
		return run(cmd, s, settings.Shown(s), args)
	}
	return cmd
}

// settingsCommand prints the settings of a service as a settings file, secrets
// hidden, without starting anything.
func settingsCommand[T any](of string, defaults T) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Print the settings of " + of + ", as a settings file, secrets hidden",
		Args:  cobra.NoArgs,
	}
	settings := ops.NewSettings(cmd.Flags(), defaults)
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := settings.Load(os.Environ())
		if err != nil {
			return err
		}
		text, err := settings.YAML(s)
		if err != nil {
			return err
		}
		fmt.Fprint(cmd.OutOrStdout(), text)
		return nil
	}
	return cmd
}

// group is a command that only has others below it.
func group(cmd *cobra.Command, below ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(below...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			fmt.Fprint(cmd.ErrOrStderr(), cmd.UsageString())
			return ops.Usagef("no command given")
		}
		maybe := ""
		cmd.SuggestionsMinimumDistance = 2 // letters apart
		if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
			maybe = fmt.Sprintf("; did you mean %q?", names[0])
		}
		return ops.Usagef("unknown command %q%s", args[0], maybe)
	}
	return cmd
}

// versionCommand prints what the binary is.
func versionCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version, the commit and how it was built", Args: cobra.NoArgs}
	asJSON := cmd.Flags().Bool("json", false, "as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return WriteVersion(cmd.OutOrStdout(), *asJSON) }
	return cmd
}

// streamsOf are the streams of a command.
func streamsOf(cmd *cobra.Command) Streams {
	return Streams{
		In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(),
		Terminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
}
