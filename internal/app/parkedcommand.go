package app

import (
	"github.com/spf13/cobra"
)

const replayLong = `Publish parked messages again, byte for byte, on their own subject, and note who
did it, when, and what came of it. Messages are named by their sequences, or
chosen by the filters of "loginaudit parked list"; then somebody is asked first.

What still breaks a rule is parked again, as a message that tells of which it is
a replay; --dry-run tells which those are, --valid leaves them out. An event is
its content, so nothing comes of a message that is replayed twice: a call that
was interrupted, or killed, can be repeated.

--subject-from-body is for what was sent on a wrong subject. Look at it first: a
subject that disagrees with the event may be somebody's attempt to write into an
account that is not theirs. To correct a message:

  loginaudit parked show --raw 7 > event.json
  (edit event.json)
  loginaudit parked replay 7 --body event.json

The parked message stays, and the note has the hash of both.`

const discardLong = `Note that parked messages are to stay as they are, and why: they are no longer
listed, unless --state asks for them. Messages are named by their sequences, or
chosen by the filters of "loginaudit parked list"; then somebody is asked first.

--erase removes the bytes and the headers for good, whatever was done with the
message before: for a password that somebody typed as a username. A note keeps
the hash and the size of the body. The original stays in LOGIN_EVENTS until that
stream lets it go.`

func parkedCommand() *cobra.Command {
	list := commandOf(&cobra.Command{
		Use:   "list",
		Short: "List parked messages, oldest first, or count them by reason",
	}, DefaultParkedList(), func(cmd *cobra.Command, s ParkedListSettings, _ []string) error {
		return ListParked(cmd.Context(), s, cmd.OutOrStdout())
	})
	show := commandOf(&cobra.Command{
		Use:   "show SEQ",
		Short: "Show one parked message: the reason, its headers, its exact bytes, what was done with it",
		Args:  cobra.ExactArgs(1),
	}, ParkedShowSettings{ParkedSettings: DefaultParked()}, func(cmd *cobra.Command, s ParkedShowSettings, args []string) error {
		seq, err := ParseSeq(args[0])
		if err != nil {
			return err
		}
		return ShowParked(cmd.Context(), s, seq, cmd.OutOrStdout())
	})
	replay := commandOf(&cobra.Command{
		Use:   "replay [SEQ...]",
		Short: "Publish parked messages again",
		Long:  replayLong,
		Args:  cobra.ArbitraryArgs,
	}, DefaultParkedReplay(), func(cmd *cobra.Command, s ParkedReplaySettings, args []string) error {
		seqs, err := parseSeqs(args)
		if err != nil {
			return err
		}
		return ReplayParked(cmd.Context(), s, seqs, streamsOf(cmd))
	})
	discard := commandOf(&cobra.Command{
		Use:   "discard [SEQ...]",
		Short: "Leave parked messages as they are, or erase them",
		Long:  discardLong,
		Args:  cobra.ArbitraryArgs,
	}, DefaultParkedDiscard(), func(cmd *cobra.Command, s ParkedDiscardSettings, args []string) error {
		seqs, err := parseSeqs(args)
		if err != nil {
			return err
		}
		return DiscardParked(cmd.Context(), s, seqs, streamsOf(cmd))
	})
	return group(&cobra.Command{
		Use:   "parked",
		Short: "Look at the messages that broke the contract, replay and discard them",
	}, list, show, replay, discard)
}

// parseSeqs reads sequences of LOGIN_PARKED.
func parseSeqs(args []string) ([]uint64, error) {
	var seqs []uint64
	for _, text := range args {
		seq, err := ParseSeq(text)
		if err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return seqs, nil
}
