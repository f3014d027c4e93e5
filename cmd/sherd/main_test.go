package main

import (
	"io"
	"strings"
	"testing"
)

func TestUnknownCommandsAreErrors(t *testing.T) {
	for _, c := range []struct {
		args    string
		unknown bool
	}{
		{"evict", true}, {"drive evict", true}, {"drive evict /mnt/sherd1", true}, {"heal begin", true}, {"scrub begin", true},
		{"quarantine drop", true}, {"user make", true}, {"control save", true}, {"bench s3", true},
		{"drive", false}, {"bench", false}, {"", false},
	} {
		cmd := rootCommand()
		cmd.SetArgs(strings.Fields(c.args))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		err := cmd.ExecuteContext(t.Context())
		if said := err != nil && strings.Contains(err.Error(), "unknown command"); said != c.unknown || !c.unknown && err != nil {
			t.Errorf("sherd %s: %v", c.args, err)
		}
	}
}
