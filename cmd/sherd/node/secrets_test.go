package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/gateway"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// putKey gives a user of the cluster's own account an access key.
func (r *rig) putKey(name, secret string, inactive bool) {
	r.t.Helper()
	must(r.t, r.n.store.EditIAM(r.t.Context(), func(m *placement.Map) ([]placement.IAMChange, error) {
		home := m.DefaultAccount.ID
		return []placement.IAMChange{
			{User: &placement.User{Account: home, Name: name, Path: "/"}},
			{Identity: &placement.Identity{AccessKey: "KEY" + name, Secret: secret, Account: home, User: name, Inactive: inactive}},
		}, nil
	}))
}

// opens fails the test unless the node knows the access key's secret, and it is this.
func (r *rig) opens(name, secret string) {
	r.t.Helper()
	if got, id, ok := r.n.credentials("KEY" + name); !ok || got != secret || id.User != name {
		r.t.Fatalf("%s: %q, %+v, %v", name, got, id, ok)
	}
}

// keyFiles counts the drives that have the key of the cluster's secrets, readable for the server alone.
func (r *rig) keyFiles() (n int) {
	for _, path := range r.paths {
		if info, err := os.Stat(filepath.Join(path, store.KeyFile)); err == nil && info.Mode().Perm() == 0o600 {
			n++
		}
	}
	return n
}

func (r *rig) removeKeyFiles() {
	for _, path := range r.paths {
		must(r.t, os.Remove(filepath.Join(path, store.KeyFile)))
	}
}

// TestSecretsOutliveRestarts: users' secrets are sealed from the first start on, and are read again with the key of any one drive, with
// root's password where no drive has it, and after root's password has changed. Where nothing opens them they are refused, not replaced.
func TestSecretsOutliveRestarts(t *testing.T) {
	var given Credentials
	r := newRig(t, 2, func(c *Config) { c.Root = given })
	r.start()
	root, _ := r.n.Root()
	if id := r.n.store.Map().Identities[root.AccessKey]; id == nil || len(id.Sealed) == 0 || id.Secret != root.SecretKey {
		t.Fatalf("root's pair is not sealed: %v", id != nil)
	}
	r.putKey("alice", "hers", false)
	r.putKey("bob", "his", true)
	r.opens("alice", "hers")
	if _, _, ok := r.n.credentials("KEYbob"); ok {
		t.Fatal("an inactive key is taken")
	}
	if n := r.keyFiles(); n != 2 {
		t.Fatalf("%d drives have the key", n)
	}
	r.stop()

	must(t, os.Remove(filepath.Join(r.paths[0], store.KeyFile)))
	r.start()
	r.opens("alice", "hers")
	eventually(t, "the key on the drive that lost it", func() error {
		if r.keyFiles() < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	r.stop()

	for _, password := range []string{"first password", "second password"} {
		given = Credentials{"admin", password}
		r.start()
		r.opens("alice", "hers")
		if _, _, ok := r.n.credentials(root.AccessKey); ok {
			t.Fatal("the stored root pair is in force beside the environment's")
		}
		r.stop()
	}
	r.removeKeyFiles()
	r.start() // with the second password alone
	r.opens("alice", "hers")
	r.stop()

	r.removeKeyFiles()
	given.SecretKey = "third password"
	r.start()
	if secret, _, ok := r.n.credentials("KEYalice"); !ok || secret != "" {
		t.Fatal("a secret is read that nothing opens, or its key is not known")
	}
	if got, id, ok := r.n.credentials("admin"); !ok || got != given.SecretKey || id != (gateway.Identity{}) {
		t.Fatal("root is refused, too")
	}
	if p := r.n.secretProblems(); len(p) != 1 || !strings.Contains(p[0].Text, "3 access keys") {
		t.Fatalf("%+v", p)
	}
	for _, secret := range []string{"hers", "first password", "third password", root.SecretKey} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// TestSecretsOfOlderVersions: a secret that is in etcd in the clear works, and is sealed.
func TestSecretsOfOlderVersions(t *testing.T) {
	r := newRig(t, 1, nil)
	r.start()
	r.putKey("alice", "replaced", false)
	row := `{"version":1,"record":{"accessKey":"KEYalice","secret":"hers","root":false,"user":"alice"}}`
	_, err := r.n.store.Client().Put(t.Context(), "/sherd/"+r.n.cluster.String()+"/iam/KEYalice", row)
	must(t, err)
	eventually(t, "the secret sealed", func() error {
		if id := r.n.store.Map().Identities["KEYalice"]; id.Secret != "hers" || len(id.Sealed) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	r.opens("alice", "hers")
}
