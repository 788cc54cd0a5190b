package app

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"
)

// MakeNKey makes the key of a NATS user: the seed, which is the secret, goes
// into a file that must not be there yet (mode 0600), the public key, which the
// server's configuration names, to out.
func MakeNKey(path string, out io.Writer) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return fmt.Errorf("make nkey: %w", err)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("make nkey: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return fmt.Errorf("make nkey: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make nkey: %w", err)
	}
	_, err = file.Write(append(seed, '\n'))
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write nkey seed: %w", errors.Join(err, os.Remove(path)))
	}
	fmt.Fprintln(out, public)
	return nil
}

func nkeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nkey FILE",
		Short: "Make a key for a NATS user: the seed into FILE, the public key to standard output",
		Args:  cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return MakeNKey(args[0], cmd.OutOrStdout()) }
	return cmd
}
