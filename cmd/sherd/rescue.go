package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/cmd/sherd/rescue"
	"github.com/sherd-io/sherd/internal/plural"
)

func newRescueCommand() *cobra.Command {
	var opt rescue.Options
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "rescue --out DIRECTORY DRIVE…",
		Short: "Read objects out of bare drive directories: no server, no etcd, no index",
		Long: "Give all drive directories that are left, in any order; no server may run on them. They are only read.\n" +
			"Objects are written below --out as BUCKET/KEY, with index.jsonl telling each one's exact key and headers.\n" +
			"Nothing is written of an object whose bytes do not all match their checksums. Ends with code 2 if one was lost.\n\n" +
			"Where no drive's rows can be read, objects are told from what their shards say of themselves: then deleted ones\n" +
			"may come back, objects of up to 2 KiB are not found, and all is written below unlisted/.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if opt.Drives, err = expandDrives(args); err != nil {
				return err
			}
			if len(opt.Drives) == 0 || (opt.Out == "" && !opt.List) {
				return errors.New("give the drives, and --out DIRECTORY or --list")
			}
			level := slog.LevelWarn
			if verbose {
				level = slog.LevelInfo
			}
			opt.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			_, _, unlock, err := lockDrives(opt.Drives, "not a whole drive, but read as far as that goes")
			defer unlock()
			if errors.Is(err, errInUse) {
				return err
			}
			return runRescue(cmd, opt, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Out, "out", "", "new directory to write to")
	f.BoolVar(&opt.List, "list", false, "write nothing; read, verify and list what is there")
	f.StringVar(&opt.Bucket, "bucket", "", "only this bucket, by name or as bucket-ID")
	f.StringVar(&opt.Prefix, "prefix", "", "only keys that begin so")
	f.BoolVar(&opt.Unlisted, "unlisted", false, "also what no row refers to: unfinished uploads, and what was lost with the newest rows")
	f.BoolVar(&asJSON, "json", false, "print a line of JSON for each object")
	f.BoolVar(&verbose, "verbose", false, "tell what is read")
	return cmd
}

func runRescue(cmd *cobra.Command, opt rescue.Options, asJSON bool) error {
	out := cmd.OutOrStdout()
	res, err := rescue.Run(cmd.Context(), opt, func(f rescue.Found) { printFound(out, f, opt.List, asJSON) })
	if err != nil {
		return err
	}
	if !asJSON {
		fmt.Fprintf(out, "%s, %s whole; %d lost", plural.Of(res.Objects, "object"), formatBytes(res.Bytes), res.Lost)
		if res.Unlisted > 0 {
			fmt.Fprintf(out, "; %d of them from shards alone", res.Unlisted)
		}
		fmt.Fprintln(out)
	}
	if res.Lost > 0 {
		return exitCode(2)
	}
	return nil
}

func printFound(out io.Writer, f rescue.Found, list, asJSON bool) {
	switch {
	case asJSON:
		printLine(out, f)
	case f.Problem != "":
		fmt.Fprintf(out, "LOST  %s: %s\n", printable(f.Bucket+"/"+f.Key), f.Problem)
	case list:
		fmt.Fprintf(out, "%s  %s\n", formatBytes(f.Size), printable(f.Bucket+"/"+f.Key))
	}
}

// printable quotes a name that could make lines of its own or steer the terminal: any client can choose a key.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
