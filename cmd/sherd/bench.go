package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sherd-io/sherd/cmd/sherd/bench"
)

// benchFlags are those that all of bench's commands share.
type benchFlags struct {
	cfg      bench.Config
	size     byteSize
	partSize byteSize
	json     bool
}

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load any S3 endpoint and measure it",
		Long: "Loads an S3 endpoint, checks everything it reads, and prints rates, percentiles and CPU time.\n" +
			"Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION.\n" +
			"Ends with code 2 if an answer was wrong or any request failed.",
	}
	for _, op := range bench.Ops() {
		cmd.AddCommand(newBenchOpCommand(op))
	}
	cmd.AddCommand(newBenchSuiteCommand())
	return cmd
}

func (b *benchFlags) addCommon(f *pflag.FlagSet) {
	c := &b.cfg
	f.StringVar(&c.Endpoint, "endpoint", defaultEndpoint(), "URL of the S3 server")
	f.BoolVar(&c.Insecure, "insecure", false, "do not check the server's certificate")
	f.StringVar(&c.Bucket, "bucket", "sherd-bench", "bucket to use; made if absent")
	f.DurationVar(&c.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&c.Timeout, "timeout", time.Minute, "time-out of one request")
	f.IntVar(&c.ServerPID, "server-pid", 0, "also measure the CPU time of this process and its children")
	f.BoolVar(&c.Unsigned, "unsigned", false, "do not sign payloads (UNSIGNED-PAYLOAD)")
	f.BoolVar(&c.NoVerify, "no-verify", false, "do not compare what is read with what was stored")
	f.BoolVar(&b.json, "json", false, "print JSON")
}

func newBenchOpCommand(op string) *cobra.Command {
	b := benchFlags{cfg: bench.Config{Op: op}}
	cmd := &cobra.Command{Use: op, Short: benchShort(op), Args: cobra.NoArgs}
	f := cmd.Flags()
	b.addCommon(f)
	c := &b.cfg
	f.IntVar(&c.Concurrency, "concurrency", 16, "clients, each with one connection")
	f.StringVar(&c.Prefix, "prefix", "", "of all keys (default: made from the time)")
	f.Uint64Var(&c.Seed, "seed", 0, "of all content (default: the time)")
	f.BoolVar(&c.Keep, "keep", false, "leave the objects in place")
	f.Var(&b.size, "size", "of an object: 4096, 4KiB, 1MiB … (default 4KiB; list, delete: 1KiB; mixed: 1MiB; multipart: 4 parts)")
	switch op {
	case "multipart":
		f.Var(&b.partSize, "part-size", "of a part (default 16MiB)")
	case "list":
		f.IntVar(&c.Prefixes, "prefixes", 16, "prefixes that the objects lie under")
	case "delete":
		f.IntVar(&c.Batch, "batch", 100, "keys in one request; 1: DeleteObject")
	}
	if op != "put" && op != "multipart" {
		f.IntVar(&c.Objects, "objects", 0, "objects to store first (default: by size; list: 20000; delete: 50000)")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b.finish()
		rep, err := bench.Run(cmd.Context(), b.cfg, benchNote)
		if err != nil {
			return err
		}
		if err := b.print(cmd.OutOrStdout(), rep); err != nil {
			return err
		}
		if rep.Failed() > 0 {
			return exitCode(2)
		}
		return nil
	}
	return cmd
}

func benchShort(op string) string {
	return map[string]string{
		"put":       "PutObject, new keys",
		"get":       "GetObject of random objects",
		"head":      "HeadObject of random objects",
		"list":      "ListObjectsV2 of prefixes, to their ends",
		"delete":    "DeleteObjects in batches",
		"multipart": "Multipart uploads; a part is a request",
		"mixed":     "45 % get, 30 % head, 15 % put, 10 % delete",
	}[op]
}

func newBenchSuiteCommand() *cobra.Command {
	var b benchFlags
	var runs int
	var only string
	cmd := &cobra.Command{
		Use:   "suite",
		Short: "Run every row of the table of docs/performance.md and print it",
		Args:  cobra.NoArgs,
	}
	b.addCommon(cmd.Flags())
	cmd.Flags().IntVar(&runs, "runs", 1, "how often, interleaved; medians are printed")
	cmd.Flags().StringVar(&only, "only", "", "rows whose name holds one of these words, separated by commas")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b.finish()
		rows := pickRows(bench.SuiteRows(), only)
		if len(rows) == 0 {
			return fmt.Errorf("--only %q: no such row", only)
		}
		rows, err := bench.Suite(cmd.Context(), b.cfg, runs, rows, benchNote)
		if b.json {
			return errors.Join(err, writeJSON(cmd.OutOrStdout(), rows))
		}
		return errors.Join(err, bench.PrintSuite(cmd.OutOrStdout(), rows))
	}
	return cmd
}

func pickRows(rows []bench.Row, only string) []bench.Row {
	if only == "" {
		return rows
	}
	var picked []bench.Row
	for _, r := range rows {
		for word := range strings.SplitSeq(only, ",") {
			if strings.Contains(r.Name, strings.TrimSpace(word)) {
				picked = append(picked, r)
				break
			}
		}
	}
	return picked
}

// finish moves into cfg what is not there by the flags themselves.
func (b *benchFlags) finish() {
	b.cfg.Credentials = awsCredentials()
	b.cfg.PartSize = b.partSize.n
	b.cfg.Size = b.size.n
	if b.size.set && b.size.n == 0 {
		b.cfg.Size = -1
	}
}

func awsCredentials() bench.Credentials {
	return bench.Credentials{
		AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: os.Getenv("AWS_SESSION_TOKEN"), Region: firstNonEmpty(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
	}
}

// defaultEndpoint is where the AWS tools would go too.
func defaultEndpoint() string {
	return firstNonEmpty(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), "http://127.0.0.1:9000")
}

func firstNonEmpty(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

func (b *benchFlags) print(out io.Writer, rep bench.Report) error {
	if b.json {
		return writeJSON(out, rep)
	}
	return rep.Print(out)
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// benchNote says on stderr what goes on, so that stdout holds the result alone.
func benchNote(s string) { fmt.Fprintln(os.Stderr, s) }

// printLine writes v as one line of JSON.
func printLine(out io.Writer, v any) { json.NewEncoder(out).Encode(v) }
