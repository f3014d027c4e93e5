package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newDoctorCommand() *cobra.Command {
	var listen []string
	var endpoint, bucket string
	var insecure, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [flags] [DRIVE…]",
		Short: "Check what a server needs here, or how an endpoint behaves from outside",
		Long: "With drives: what `sherd server` checks before it serves (ports, drives, limits, clock), changing nothing.\n" +
			"With --endpoint: presigned URLs, streaming and trailer uploads, ranges, odd keys and large bodies as a client\n" +
			"behind your proxy sees them, in a bucket of its own that is removed again (needs AWS_… credentials).\n" +
			"Ends with code 1 if something failed.",
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := nodeDrives(cmd, args)
			if err != nil {
				return err
			}
			if endpoint == "" && len(paths) == 0 {
				return fmt.Errorf("give drives, as for `sherd server`, or --endpoint URL, or both")
			}
			found := []finding{}
			if len(paths) > 0 {
				found = append(found, inspect(inspection{Listen: listen, Drives: paths})...)
			}
			if endpoint != "" {
				remote, err := examine(cmd.Context(), endpoint, bucket, insecure)
				if err != nil {
					return err
				}
				found = append(found, remote...)
			}
			return reportFindings(cmd, found, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&listen, "listen", nil, "addresses that the server shall listen on; none: do not check ports")
	f.StringVar(&endpoint, "endpoint", "", "URL to check from outside")
	f.StringVar(&bucket, "bucket", "", "existing bucket to use; by default one is made and removed")
	f.BoolVar(&insecure, "insecure", false, "do not check the server's certificate")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	addServerConfig(cmd, &serverFlags{})
	return cmd
}

func reportFindings(cmd *cobra.Command, found []finding, asJSON bool) error {
	out := cmd.OutOrStdout()
	failed := 0
	for _, f := range found {
		if f.Failed {
			failed++
		}
	}
	if asJSON {
		if err := writeJSON(out, found); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintln(out, f)
		}
		fmt.Fprintf(out, "%d failed, %d warnings\n", failed, len(found)-failed)
	}
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}
