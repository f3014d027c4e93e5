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
	"github.com/sherd-io/sherd/internal/plural"
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
	if err := openSecrets(ctx, st, paths, out); err != nil {
		return err
	}
	return replaceRoot(ctx, st, out)
}

// openSecrets gives st the key of the cluster's secrets, from the drives. Where they have lost it a new one begins: what was sealed under
// the old one cannot be read any more.
func openSecrets(ctx context.Context, st *store.Store, paths []string, out io.Writer) error {
	m := st.Map()
	if m.DataKey == nil {
		return nil
	}
	key, lost := store.ReadDataKey(paths, m.Cluster, m.DataKey.ID)
	if lost != nil {
		var err error
		if key, err = newSecretsKey(ctx, st, paths); err != nil {
			return err
		}
	}
	st.SetDataKey(key)
	refused := 0
	for _, id := range st.Map().Identities {
		if id.Secret == "" && !id.Root {
			refused++
		}
	}
	if refused > 0 {
		fmt.Fprintf(out, "%s cannot be read (%v): make new ones.\n\n", plural.Of(refused, "access key"), lost)
	}
	return nil
}

// newSecretsKey has the cluster seal its secrets under a new key, which is on the drives first.
func newSecretsKey(ctx context.Context, st *store.Store, paths []string) (*store.DataKey, error) {
	key, err := store.NewDataKey(st.Map().Cluster)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := key.Write(path); err != nil {
			return nil, err
		}
	}
	w, err := key.Wrapped(nil, nil)
	if err != nil {
		return nil, err
	}
	return key, st.EditIAM(ctx, func(*placement.Map) ([]placement.IAMChange, error) {
		return []placement.IAMChange{{DataKey: w}}, nil
	})
}

func replaceRoot(ctx context.Context, st *store.Store, out io.Writer) error {
	fresh := node.NewCredentials()
	if user, password := os.Getenv("SHERD_ROOT_USER"), os.Getenv("SHERD_ROOT_PASSWORD"); user != "" && password != "" {
		fresh = node.Credentials{AccessKey: user, SecretKey: password}
	}
	wrap, err := store.CopyKey(fresh.SecretKey, st.Map().Cluster)
	if err != nil {
		return err
	}
	err = st.EditIAM(ctx, func(m *placement.Map) ([]placement.IAMChange, error) {
		changes := []placement.IAMChange{{Identity: &placement.Identity{AccessKey: fresh.AccessKey, Secret: fresh.SecretKey, Root: true}}}
		for _, id := range m.Identities {
			if id.Root && m.Account(id.Account) == m.DefaultAccount && id.AccessKey != fresh.AccessKey {
				changes = append(changes, placement.IAMChange{Identity: id, Delete: true})
			}
		}
		if key := st.DataKey(); key != nil { // who knows the old secret is not to open it
			w, err := key.Wrapped(m.DataKey, map[string][]byte{placement.WrapRoot: wrap})
			if err != nil {
				return nil, err
			}
			changes = append(changes, placement.IAMChange{DataKey: w})
		}
		return changes, nil
	})
	if err != nil {
		return err
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
