package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/cmd/sherd/node"
	"github.com/sherd-io/sherd/cmd/sherd/restore"
	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/store"
)

// restoreWithin bounds `control restore`: etcd is ready within seconds or not at all.
const restoreWithin = 2 * time.Minute

func newControlCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "control", Short: "Restore the control state when all of etcd is lost"}
	var c adminClient
	var req adminapi.ConfirmRequest
	confirm := &cobra.Command{
		Use: "confirm", Short: "Say that what was restored is right: end the hour of caution", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fetch(cmd, &c, "POST", "control/confirm", &req, printConfirmed)
		},
	}
	c.addFlags(confirm)
	confirm.Flags().BoolVar(&req.Directory, "directory", false, "also that replicas of object records which nobody has now are gone for good")
	cmd.AddCommand(newControlRestoreCommand(), newControlCopiesCommand(), confirm)
	return cmd
}

func printConfirmed(out io.Writer, c *adminapi.Confirmed) error {
	text := "there was nothing to confirm"
	if c.Held {
		text = "confirmed: drives are given up, space is reclaimed and quarantine is emptied as usual again"
	}
	for _, doubt := range c.Doubts {
		text += "\nnot known yet: " + doubt
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

// restoreFlags are those of `control restore`: the server's, so that its configuration can be read, and a few more.
type restoreFlags struct {
	server       serverFlags
	copies       []string
	yes          bool
	force        bool
	withoutUsers bool
}

func newControlRestoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore DRIVE…",
		Short: "Make the control state anew on a stopped node, from the newest copy on the cluster's drives",
		Long: "Only when all of etcd is lost, or most of its members. Stop all nodes, and give all drives of this one as for `sherd\n" +
			"server`; those of the others in --copies, as `sherd control copies` wrote them there. What would be restored is shown, and\n" +
			"nothing is done without --yes or a yes on the terminal. What is left of the old etcd is put aside and never started again.\n" +
			"Access keys are encrypted with root's secret key: give it in SHERD_ROOT_PASSWORD or AWS_SECRET_ACCESS_KEY.\n" +
			"For an hour after, or until `sherd control confirm`, the server gives up no drive and reclaims nothing.",
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := nodeDrives(cmd, args)
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				return errNoDrives
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), restoreWithin)
			defer cancel()
			return f.run(ctx, cmd, paths)
		},
	}
	addServerConfig(cmd, &f.server, "node", "etcd", "etcd-user", "etcd-ca", "etcd-cert", "etcd-key")
	cmd.Flags().StringSliceVar(&f.copies, "copies", nil, "files that `sherd control copies` wrote on the other nodes")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it, without asking")
	cmd.Flags().BoolVar(&f.force, "force", false, "also from copies on no more than half of the drives, or beside an etcd that does not start or may be on other nodes")
	cmd.Flags().BoolVar(&f.withoutUsers, "without-users", false, "also where the access keys cannot be decrypted: root gets new credentials, the keys of others are lost")
	return cmd
}

func (f *restoreFlags) run(ctx context.Context, cmd *cobra.Command, paths []string) error {
	cluster, hosts, unlock, err := lockDrives(paths, "left out")
	defer unlock()
	if err != nil {
		return err
	}
	given, err := readGiven(f.copies)
	if err != nil {
		return err
	}
	opt := restore.Options{
		Cluster: cluster, Hosts: hosts, Given: given, WithoutUsers: f.withoutUsers, Force: f.force, Logger: slog.New(slog.DiscardHandler),
	}
	if cmd.Flags().Changed("node") {
		opt.Node = f.server.cfg.Name
	}
	for _, name := range []string{"SHERD_ROOT_PASSWORD", "AWS_SECRET_ACCESS_KEY"} {
		if secret := os.Getenv(name); secret != "" {
			opt.Secrets = append(opt.Secrets, secret)
		}
	}
	if err := f.etcd(&opt, len(hosts)); err != nil {
		return err
	}
	p, err := restore.Prepare(ctx, opt)
	if err != nil {
		return restoreError(err)
	}
	out := cmd.OutOrStdout()
	printRestore(out, p, opt.Etcd != nil, time.Now())
	if !f.yes && !agreed(cmd.InOrStdin(), out, "Restore this? Type yes: ", "yes") {
		return errors.New("nothing was changed: give --yes to restore")
	}
	aside, err := p.Run(ctx)
	for _, dir := range aside {
		fmt.Fprintf(out, "put aside: %s\n", dir)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nRestored. %s, look at `sherd status`, `sherd drive ls` and your buckets, then run `sherd control confirm`.\n"+
		"What was put aside can be deleted when all is well.\n", nextStep(p, opt.Etcd != nil))
	return nil
}

// nextStep says what is to be started.
func nextStep(p *restore.Plan, external bool) string {
	nodes := map[string]bool{}
	for _, d := range p.Map.Drives {
		nodes[d.Node] = true
	}
	switch {
	case len(nodes) < 2:
		return "Start the server"
	case external:
		return "Start the nodes"
	}
	return fmt.Sprintf("Start %s, which has etcd's members now, and then the other nodes", p.Node)
}

// etcd says where the records are to be written.
func (f *restoreFlags) etcd(opt *restore.Options, drives int) error {
	if ext := &f.server.cfg.Etcd; len(ext.Endpoints) > 0 {
		ext.Password = os.Getenv("SHERD_ETCD_PASSWORD")
		opt.Etcd = &store.Options{}
		return ext.Fill(opt.Etcd)
	}
	budget, err := node.Divide(node.DefaultMemoryLimit(), drives)
	opt.Child = member.Options{MemoryBytes: budget.Etcd}
	return err
}

// restoreError adds what can be done about it.
func restoreError(err error) error {
	switch {
	case errors.Is(err, restore.ErrNotLost):
		return fmt.Errorf("%w: nothing was changed: start the server; what was given by `sherd control copies` is taken back by `sherd control copies --cancel`", err)
	case errors.Is(err, restore.ErrMinority):
		return fmt.Errorf("%w: give all drives, and in --copies what `sherd control copies` writes on the other nodes; or take what there is with --force: "+
			"changes that only the others know would be lost", err)
	case errors.Is(err, restore.ErrElsewhere):
		return fmt.Errorf("%w: give in --copies what `sherd control copies` writes there; only if these nodes are gone for good go on with --force", err)
	case errors.Is(err, restore.ErrGiven), errors.Is(err, store.ErrPromised):
		return fmt.Errorf("%w: `sherd control copies --cancel` there takes it back, unless that node has made the restore", err)
	case errors.Is(err, restore.ErrSealed):
		return fmt.Errorf("%w: set SHERD_ROOT_PASSWORD to it, or go on with --without-users", err)
	}
	return err
}

// printRestore says what a restore would do.
func printRestore(out io.Writer, p *restore.Plan, external bool, now time.Time) {
	c, m := p.Copy, p.Map
	keys := plural.Of(len(m.Identities), "access key")
	switch {
	case !p.Users:
		keys = "NO access keys: they are not in it, or stay encrypted"
	case p.Closed > 0:
		keys += fmt.Sprintf(" (%d of them work when a node is there that has secrets.json)", p.Closed)
	}
	w := table(out)
	fmt.Fprintf(w, "cluster\t%s\n", c.Cluster)
	fmt.Fprintf(w, "copy of\t%s, %s ago; %s\n", c.At.Local().Format(time.DateTime), roughly(now.Sub(c.At)), c.Position())
	fmt.Fprintf(w, "it has\t%s, %s, %s\n", plural.Of(p.Drives, "drive"), plural.Of(len(m.Buckets), "bucket"), keys)
	fmt.Fprintf(w, "found on\t%d of %s; %d more have an older one\n", p.Same, plural.Of(p.Drives, "drive"), p.Readable-p.Same)
	if len(p.Silent) > 0 {
		fmt.Fprintf(w, "nothing of\t%s: what only they know is lost\n", strings.Join(p.Silent, ", "))
	}
	left := p.Etcd
	switch {
	case external:
		fmt.Fprintf(w, "etcd\tthe external one, which has nothing of this cluster\n")
	case left.Members == 0:
		fmt.Fprintf(w, "etcd\tno member is left; a new one is made on %s\n", p.Node)
	case left.Unknown > 0:
		fmt.Fprintf(w, "etcd\t%d of %d members are left, and %d are UNKNOWN; a new one is made on %s\n", left.Found, left.Members, left.Unknown, p.Node)
	default:
		fmt.Fprintf(w, "etcd\t%d of %d members are left, which is not enough or too old; they are put aside and a new one is made on %s\n", left.Found, left.Members, p.Node)
	}
	w.Flush()
	for _, f := range p.Missing {
		fmt.Fprintf(out, "no copy: %s: %v\n", f.Path, f.Err)
	}
	fmt.Fprintln(out, "Buckets and users that were made, changed or removed after the copy are as they were before.")
}

// agreed asks a person, where one is there, for a word.
func agreed(in io.Reader, out io.Writer, question, word string) bool {
	f, isFile := in.(*os.File)
	if !isFile || !isTerminal(f) {
		return false
	}
	fmt.Fprint(out, question)
	line, _ := bufio.NewReader(in).ReadString('\n')
	return strings.TrimSpace(line) == word
}
