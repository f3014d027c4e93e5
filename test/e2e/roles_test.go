package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// wantPassword has etcd let in only who knows the password of a user, who may do no more than a sherd needs.
func (e *etcd) wantPassword(user, password string) {
	e.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: e.clients, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	must(e.t, err)
	defer c.Close()
	ctx := e.t.Context()
	for name, secret := range map[string]string{"root": "the password of etcd's root", user: password} {
		_, err := c.RoleAdd(ctx, name)
		must(e.t, err)
		_, err = c.UserAdd(ctx, name, secret)
		must(e.t, err)
		_, err = c.UserGrantRole(ctx, name, name)
		must(e.t, err)
	}
	_, err = c.RoleGrantPermission(ctx, user, "/sherd/", clientv3.GetPrefixRangeEnd("/sherd/"), clientv3.PermissionType(clientv3.PermReadWrite))
	must(e.t, err)
	_, err = c.AuthEnable(ctx)
	must(e.t, err)
}

// TestRoles: storage nodes and a gateway, in plaintext between them, with an external etcd that wants a password. The gateway is the
// first to start, and begins no cluster. It serves while a storage node is away; one that has no S3 says so.
func TestRoles(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	e.wantPassword("sherd", "a password")
	f := newFleet(t, 4, 2)
	storage, gate := f.nodes[:3], f.nodes[3]
	founders, _, _ := strings.Cut(gate.flags[3], ",n4=")
	for _, s := range f.nodes {
		s.env = []string{"SHERD_ROOT_USER=" + rootUser, "SHERD_ROOT_PASSWORD=" + rootPassword, "SHERD_ETCD_PASSWORD=a password"}
		s.flags = append(s.flags[:2], "--etcd", e.flag(), "--etcd-user", "sherd", "--insecure-node-plaintext", "--ec", "2+2")
	}
	for _, s := range storage {
		s.flags = append(s.flags, "--roles", "storage", "--cluster", founders)
	}
	gate.drives = nil
	state := filepath.Join(gate.dir, "state")
	gate.flags = append(gate.flags, "--roles", "gateway", "--state", state, "--advertise", fmt.Sprintf("127.0.0.1:%d", f.nodePort[3]))
	gate.run()
	eventually(t, time.Minute, "the gateway to have come as far as it can", func() error {
		gate.alive()
		_, err := os.Stat(state)
		return err
	})
	f.run(storage...)
	gate.waitReady(time.Minute)
	c := gate.client()
	must(t, c.makeBucket("roles"))
	m := newModel("roles")
	m.store(t, c, 12)
	if err := storage[0].client().makeBucket("elsewhere"); status(err) != 421 {
		t.Errorf("S3 at a storage node: %v", err)
	}
	for range count(1, 10) {
		storage[1].kill9()
		m.checkAll(t, c)
		v := version{seed: 99, size: 300_000, there: true}
		eventually(t, time.Minute, "a write without it", func() error {
			return c.put("roles", "k03", v.body())
		})
		m.wrote("k03", v, true)
		gate.stop()
		f.run(storage[1])
		gate.restart()
		m.checkAll(t, c)
	}
}
