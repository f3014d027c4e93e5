package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
)

func newPlanCommand() *cobra.Command {
	var c adminClient
	var w whatIfFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what moves, and what would move: slots, bytes, time, and what may be lost then",
		Long: "Without flags: what is due now, and goes on by itself. With flags: what would follow, before it is ordered; nothing is changed.\n" +
			namesDrive,
		Example: "  sherd plan --add 2\n  sherd plan --drain /mnt/sherd3\n  sherd plan --weight /mnt/sherd3=2",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := w.request()
			if err != nil {
				return err
			}
			return fetch(cmd, &c, "POST", "plan", req, printPlan)
		},
	}
	c.addFlags(cmd)
	w.add(cmd)
	return cmd
}

// whatIfFlags are the changes to look at.
type whatIfFlags struct {
	added  int
	node   string
	size   string
	weight []string
	req    adminapi.WhatIf
}

func (w *whatIfFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&w.added, "add", 0, "so many drives more")
	f.StringVar(&w.node, "node", "", "on this node, which may be a new one (default the one that is asked)")
	f.StringVar(&w.size, "size", "", "of this size, such as 4TiB (default as those there are)")
	f.StringSliceVar(&w.req.Drain, "drain", nil, "drives to drain")
	f.StringSliceVar(&w.req.DrainNodes, "drain-node", nil, "nodes to drain")
	f.StringSliceVar(&w.req.Out, "out", nil, "drives that are lost")
	f.StringSliceVar(&w.weight, "weight", nil, "DRIVE=WEIGHT")
}

func (w *whatIfFlags) request() (*adminapi.WhatIf, error) {
	req := w.req
	if w.added < 0 {
		return nil, fmt.Errorf("--add %d: want how many drives more; for fewer, see --drain and --out", w.added)
	}
	if w.added > 0 {
		a := adminapi.AddDrives{Node: w.node, Count: w.added}
		if w.size != "" {
			var err error
			if a.Bytes, err = parseBytes(w.size); err != nil {
				return nil, fmt.Errorf("--size: %w", err)
			}
		}
		req.Add = append(req.Add, a)
	}
	for _, list := range [][]string{req.Drain, req.Out} {
		for i := range list {
			list[i] = driveName(list[i])
		}
	}
	for _, text := range w.weight {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--weight %s: want DRIVE=WEIGHT", text)
		}
		weight, err := parseWeight(value)
		if err != nil {
			return nil, fmt.Errorf("--weight %s: %w", text, err)
		}
		if req.Weights == nil {
			req.Weights = map[string]float64{}
		}
		req.Weights[driveName(name)] = weight
	}
	return &req, nil
}

func printPlan(out io.Writer, p *adminapi.Plan) error {
	fmt.Fprintln(out, planLine(p))
	if p.InMotion > 0 {
		fmt.Fprintf(out, "now     %s being filled (`sherd heal status`)\n", plural.Of(p.InMotion, "slot"))
	}
	if p.Convert.Objects > 0 {
		fmt.Fprintf(out, "convert %s to go to another pool, %s (`sherd bucket ls`)\n", plural.Of(p.Convert.Objects, "object"), formatBytes(p.Convert.Bytes))
	}
	if p.Stuck > 0 {
		fmt.Fprintf(out, "STUCK   %s should leave and have nowhere to go: add drives\n", plural.Of(p.Stuck, "slot"))
	}
	if p.Refused != "" {
		fmt.Fprintf(out, "REFUSED %s\n", p.Refused)
	}
	after := fmt.Sprint(p.MayLoseAfter)
	if p.OutOfReach {
		after = "MORE THAN MAY BE lost"
	}
	fmt.Fprintf(out, "promise %s may be lost now, %s when all is done\n\n", plural.Of(p.MayLose, "drive"), after)
	w := table(out)
	fmt.Fprintln(w, "DRIVE\tNODE\tSTATE\tWEIGHT\tSLOTS\tTHEN\tSHARE\tIN\tOUT\tID")
	for _, d := range p.Drives {
		state := d.State
		if d.Draining {
			state += ", draining"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.3g\t%d\t%d\t%d\t%s\t%s\t%.8s\n", d.Path, d.Node, state, d.Weight, d.SlotsNow, d.Slots, d.Share,
			formatBytes(d.BytesIn), formatBytes(d.BytesOut), firstNonEmpty(d.ID, "-"))
	}
	return w.Flush()
}

// planLine says in one line what is to be done.
func planLine(p *adminapi.Plan) string {
	if p.Slots == 0 && p.Replicas == 0 {
		return "nothing to move"
	}
	parts := []string{fmt.Sprintf("%s to move, about %s, at least %s", plural.Of(p.Slots, "slot"), formatBytes(p.Bytes),
		roughly(time.Duration(p.Seconds)*time.Second))}
	if p.Rebuilt > 0 {
		parts = append(parts, fmt.Sprintf("%d of them made from the others", p.Rebuilt))
	}
	if p.Replicas > 0 {
		parts = append(parts, plural.Of(p.Replicas, "replica"))
	}
	return strings.Join(parts, "; ")
}
