package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/cmd/sherd/node"
	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/member"
	"github.com/sherd-io/sherd/placement/store"
)

// resetWithin bounds `user reset-root`: etcd is ready within seconds or not at all.
const resetWithin = time.Minute

func newUserCommand() *cobra.Command {
	var c iamClient
	cmd := &cobra.Command{Use: "user", Short: "Users with their policies, and root's credentials"}
	c.addFlags(cmd)
	cmd.AddCommand(userCommands(&c)...)
	reset := &cobra.Command{
		Use:   "reset-root DRIVE…",
		Short: "Make new root credentials on a stopped node, when the old ones are lost",
		Long: "Stop the server first. The old root credentials end with this. The new ones are random and printed once,\n" +
			"or those in SHERD_ROOT_USER and SHERD_ROOT_PASSWORD.",
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := nodeDrives(cmd, args)
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				return errNoDrives
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), resetWithin)
			defer cancel()
			return resetRoot(ctx, paths, cmd.OutOrStdout())
		},
	}
	addServerConfig(reset, &serverFlags{})
	cmd.AddCommand(reset)
	return cmd
}

// resetRoot replaces the root identity in the embedded etcd of the drives at paths.
func resetRoot(ctx context.Context, paths []string, out io.Writer) error {
	cluster, hosts, unlock, err := lockDrives(paths, "left out")
	defer unlock()
	if err != nil {
		return err
	}
	var want []ids.Drive // those that have members already: nothing is moved here
	for _, h := range hosts {
		if _, err := os.Stat(filepath.Join(h.Path, "etcd")); err == nil {
			want = append(want, h.Drive)
		}
	}
	log := slog.New(slog.DiscardHandler)
	members, err := member.Start(ctx, member.Options{Cluster: cluster, Drives: hosts, Want: want, Sole: true, Logger: log})
	if err != nil {
		return fmt.Errorf("starting etcd: %w: give all of the node's drives", err)
	}
	defer members.Close()
	st, err := store.Open(ctx, store.Options{
		Endpoints: members.Endpoints(), Dialer: members.Dial, Redial: members.Redial, Cluster: cluster, Logger: log,
	})
	if err != nil {
		return err
	}
	defer st.Close()
	return replaceRoot(ctx, st, out)
}

func replaceRoot(ctx context.Context, st *store.Store, out io.Writer) error {
	fresh := node.NewCredentials()
	if user, password := os.Getenv("SHERD_ROOT_USER"), os.Getenv("SHERD_ROOT_PASSWORD"); user != "" && password != "" {
		fresh = node.Credentials{AccessKey: user, SecretKey: password}
	}
	old := st.Map().Identities
	err := st.PutIdentity(ctx, placement.Identity{AccessKey: fresh.AccessKey, Secret: fresh.SecretKey, Root: true})
	if err != nil {
		return err
	}
	for _, id := range old {
		if id.Root && id.AccessKey != fresh.AccessKey {
			if err := st.DeleteIdentity(ctx, id.AccessKey); err != nil {
				return fmt.Errorf("the new credentials hold, but the old key %s could not be removed: %w: run this again", id.AccessKey, err)
			}
		}
	}
	fmt.Fprintf(out, "New root credentials, shown only now:\n\nexport AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\n\n"+
		"Start the server without SHERD_ROOT_USER and SHERD_ROOT_PASSWORD: they would win.\n", fresh.AccessKey, fresh.SecretKey)
	return nil
}

// notDrive says why a path is not a drive that can be read.
func notDrive(state disk.State, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case state == disk.Blank:
		return "nothing is there"
	case state == disk.NotMounted:
		return "a drive's file system should be mounted there, and is not"
	case state == disk.Foreign:
		return "it holds something else than a drive"
	}
	return "its sherd.json is " + state.String()
}

var errInUse = errors.New("in use: stop the server first")

// lockDrives opens nothing but takes each drive's lock, so that no server runs on them, until unlock. What is no whole drive
// is not locked; people are told of its fate.
func lockDrives(paths []string, fate string) (cluster ids.Cluster, hosts []member.Host, unlock func(), err error) {
	var locks []io.Closer
	unlock = func() {
		for _, l := range locks {
			l.Close()
		}
	}
	for _, path := range paths {
		id, state, err := disk.Probe(vfs.Default, path)
		if err != nil || state != disk.Formatted {
			fmt.Fprintf(os.Stderr, "%s is %s: %s\n", path, fate, notDrive(state, err))
			continue
		}
		lock, err := disk.Lock(vfs.Default, path)
		if errors.Is(err, disk.ErrLocked) {
			return cluster, nil, unlock, fmt.Errorf("%s: %w", path, errInUse)
		}
		if err != nil {
			return cluster, nil, unlock, err
		}
		locks = append(locks, lock)
		if len(hosts) > 0 && id.Cluster != cluster {
			return cluster, nil, unlock, fmt.Errorf("%s is of another cluster than the drives before it", path)
		}
		cluster = id.Cluster
		hosts = append(hosts, member.Host{Drive: id.Drive, Path: path})
	}
	if len(hosts) == 0 {
		return cluster, nil, unlock, errors.New("none of these paths is a drive")
	}
	return cluster, hosts, unlock, nil
}
