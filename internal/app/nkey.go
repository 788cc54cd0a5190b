package app

import (
	"bytes"
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

// ShowNKey writes the public key that belongs to the seed in a file to out.
func ShowNKey(path string, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read nkey seed: %w", err)
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("read nkey seed %s: %w", path, err)
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return fmt.Errorf("read nkey seed %s: %w", path, err)
	}
	if !nkeys.IsValidPublicUserKey(public) {
		return fmt.Errorf("read nkey seed %s: it is not the seed of a user (those start with SU)", path)
	}
	fmt.Fprintln(out, public)
	return nil
}

func nkeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nkey FILE",
		Short: "Make a key for a NATS user: the seed into FILE, the public key to standard output",
		Long: `Make a key for a NATS user: the seed, which is the secret, into FILE, which must
not be there yet, the public key to standard output. With --public it makes
nothing, and prints the public key of the seed that FILE holds.`,
		Args: cobra.ExactArgs(1),
	}
	public := cmd.Flags().Bool("public", false, "print the public key of the seed in FILE")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *public {
			return ShowNKey(args[0], cmd.OutOrStdout())
		}
		return MakeNKey(args[0], cmd.OutOrStdout())
	}
	return cmd
}
