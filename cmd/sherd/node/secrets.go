package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sherd-io/sherd/internal/adminapi"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement"
	"github.com/sherd-io/sherd/placement/store"
)

// levelIdentities is from which level on secrets are sealed in etcd: an older node would take a sealed one for an empty one.
const levelIdentities = 3

// secretsPatience is how long a start waits for the key of the cluster's secrets when it cannot know root's without it: other nodes may
// be starting, too.
const secretsPatience = 30 * time.Second

// rootUser is root's pair that is in force.
type rootUser struct {
	Credentials
	key []byte // that follows from the secret: store.CopyKey
}

func (n *Node) setRoot(c Credentials) error {
	key, err := store.CopyKey(c.SecretKey, n.cluster)
	if err != nil {
		return err
	}
	n.root.Store(&rootUser{c, key})
	return nil
}

// rootKey is the key that follows from root's secret; nil: it is not known yet.
func (n *Node) rootKey() []byte {
	if root := n.root.Load(); root != nil {
		return root.key
	}
	return nil
}

// startIdentity finds the key of the cluster's secrets and root's credentials, and brings map and drives together. Without them the node
// starts all the same: it serves those whose secrets it can read, and the other nodes.
func (n *Node) startIdentity(ctx, loops context.Context) error {
	if n.cfg.Root.AccessKey != "" {
		if err := n.setRoot(n.cfg.Root); err != nil {
			return err
		}
	}
	n.warnEtcdTrusted()
	fresh := NewCredentials()
	for begin := time.Now(); ; pause(ctx, time.Second) {
		err := n.untilHeard(ctx, func() error { return n.findSecrets(ctx, fresh, n.openPaths()) })
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrNoDataKey) || ctx.Err() != nil {
			return err
		}
		if n.root.Load() != nil || time.Since(begin) > secretsPatience {
			n.log.Error("the secrets of access keys cannot be read here; "+secretsRemedy, "err", err)
			break
		}
	}
	n.loops.Go(func() { n.keepSecrets(loops, fresh) })
	return n.untilHeard(ctx, func() error { return n.enlistAll(ctx) })
}

// secretsRemedy is what helps a node that does not have the key of the cluster's secrets.
const secretsRemedy = "start a node that has their key, bring back one of this node's drives that has it, or give the SHERD_ROOT_USER and SHERD_ROOT_PASSWORD that another node was started with " +
	"(docs/operations.md, \"Where secrets are\")"

// warnEtcdTrusted says where sealing is of no use against who can read etcd.
func (n *Node) warnEtcdTrusted() {
	if n.peers != nil && n.peers.papers.Load().ByEtcd && n.cfg.Root.AccessKey == "" {
		n.log.Warn("who can read the external etcd can make himself a node, and have the secrets of access keys: give all nodes SHERD_ROOT_USER and SHERD_ROOT_PASSWORD")
	}
}

// findSecrets finds what the node needs to know who asks: the key of the cluster's secrets, and root's pair; fresh is root's if none has
// been chosen. Errors: store.ErrNoDataKey, store.ErrUnavailable.
func (n *Node) findSecrets(ctx context.Context, fresh Credentials, dirs []string) error {
	missing := n.tendDataKey(ctx, dirs)
	if missing != nil && !errors.Is(missing, store.ErrNoDataKey) {
		return missing
	}
	if n.root.Load() == nil {
		root, err := ensureRoot(ctx, fresh, n.store)
		if err != nil {
			return err
		}
		if err := n.setRoot(root); err != nil {
			return err
		}
		n.rootFresh.Store(root == fresh)
	}
	if missing != nil {
		return missing
	}
	if err := n.wrapDataKey(ctx); err != nil {
		return err
	}
	return n.sealSecrets(ctx)
}

// keepSecrets sees to it, until ctx ends, that the key of the cluster's secrets is on each drive that comes, is made when all nodes know
// of it, and is found when another was made.
func (n *Node) keepSecrets(ctx context.Context, fresh Credentials) {
	for said := ""; ctx.Err() == nil; {
		m := n.store.Map()
		err := n.findSecrets(ctx, fresh, n.healthyPaths())
		switch {
		case err == nil:
			said = ""
		case errors.Is(err, store.ErrUnavailable): // etcd is away: others say so
		case said != err.Error() && ctx.Err() == nil:
			said = err.Error()
			n.log.Warn("the key of the cluster's secrets is not in order", "err", err)
		}
		wait, cancel := context.WithTimeout(ctx, copyEvery)
		_, _ = n.store.Wait(wait, func(next *placement.Map) bool { return next.DataKey != m.DataKey }) // or the time is over
		cancel()
	}
}

// tendDataKey finds the cluster's key, or makes it, and has it in every directory. Errors: store.ErrNoDataKey, store.ErrUnavailable.
func (n *Node) tendDataKey(ctx context.Context, dirs []string) error {
	if state := n.cfg.Cluster.StateDir; state != "" {
		dirs = append(dirs, state)
	}
	m := n.store.Map()
	if m.DataKey == nil {
		if floor(m) < levelIdentities {
			return nil
		}
		if err := n.makeDataKey(ctx, "", dirs); err != nil {
			return err
		}
		m = n.store.Map()
	}
	if k := n.store.DataKey(); k == nil || k.ID() != m.DataKey.ID {
		k, err := n.findDataKey(ctx, m, dirs)
		if err != nil && !sealedAny(m) { // it is lost, and nothing with it
			err = n.makeDataKey(ctx, m.DataKey.ID, dirs)
			return errors.Join(store.ErrNoDataKey, err) // until it is found
		}
		if err != nil {
			return err
		}
		n.store.SetDataKey(k)
	}
	n.saveDataKey(n.store.DataKey(), dirs)
	return nil
}

// findDataKey looks for the cluster's key on the drives, opens it by what this node knows, or asks the other nodes. Error: store.ErrNoDataKey.
func (n *Node) findDataKey(ctx context.Context, m *placement.Map, dirs []string) (*store.DataKey, error) {
	k, err := store.ReadDataKey(dirs, n.cluster, m.DataKey.ID)
	if err == nil {
		return k, nil
	}
	for by, key := range n.wrapKeys() {
		if k, err := store.Unwrap(n.cluster, m.DataKey, by, key); err == nil {
			return k, nil
		}
	}
	if n.peers == nil {
		return nil, err
	}
	for name := range m.Alive {
		if name == n.cfg.Name {
			continue
		}
		raw, asked := call[[]byte](ctx, n.peers, name, "GET", "/datakey", nil)
		if asked == nil {
			k, asked = store.ParseDataKey(n.cluster, raw)
		}
		if asked == nil && k.ID() == m.DataKey.ID {
			return k, nil
		}
		n.log.Debug("no key of the cluster's secrets", "from", name, "err", asked)
	}
	return nil, err
}

// makeDataKey makes the cluster's key, in the place of a lost one of that id, unless another node does. What was on a drive already is
// taken: a start may have been cut short. Errors: store.ErrNoDataKey, store.ErrUnavailable.
func (n *Node) makeDataKey(ctx context.Context, lost string, dirs []string) error {
	k, err := store.ReadDataKey(dirs, n.cluster, "")
	if err != nil {
		if k, err = store.NewDataKey(n.cluster); err != nil {
			return err
		}
	}
	by := n.wrapKeys()
	if n.saveDataKey(k, dirs) == 0 && len(by) == 0 {
		return fmt.Errorf("%w: this node has no place for one: another makes it", store.ErrNoDataKey)
	}
	w, err := k.Wrapped(nil, by)
	if err != nil {
		return err
	}
	return n.store.EditIAM(ctx, func(m *placement.Map) ([]placement.IAMChange, error) {
		if m.DataKey != nil && m.DataKey.ID != lost {
			return nil, nil
		}
		for _, id := range m.Identities {
			if len(id.Sealed) > 0 && !k.Seals(id) {
				return nil, fmt.Errorf("%w: there are secrets under another", store.ErrNoDataKey)
			}
		}
		return []placement.IAMChange{{DataKey: w}}, nil
	})
}

func sealedAny(m *placement.Map) bool {
	for _, id := range m.Identities {
		if len(id.Sealed) > 0 {
			return true
		}
	}
	return false
}

// saveDataKey has the key in all directories, and counts those that have it.
func (n *Node) saveDataKey(k *store.DataKey, dirs []string) (saved int) {
	for _, dir := range dirs {
		_, err := store.ReadDataKey([]string{dir}, n.cluster, k.ID())
		if err != nil {
			err = k.Write(dir)
		}
		if err != nil {
			n.log.Warn("the key of the cluster's secrets is not kept", "path", dir, "err", err)
			continue
		}
		saved++
	}
	return saved
}

// wrapKeys are the keys that follow from what this node knows and etcd does not.
func (n *Node) wrapKeys() map[string][]byte {
	all := map[string][]byte{}
	if key := n.rootKey(); key != nil {
		all[placement.WrapRoot] = key
	}
	if p := n.peers; p != nil && p.signer != nil && !p.papers.Load().ByEtcd {
		all[placement.WrapCluster] = p.signer.WrapKey()
	}
	return all
}

// wrapDataKey has etcd hold the cluster's key under what this node knows, once for each key and root: where nodes were given different
// roots they do not undo each other's work for ever.
func (n *Node) wrapDataKey(ctx context.Context) error {
	k, root := n.store.DataKey(), n.root.Load()
	if k == nil || n.wrapped == (wrapping{k, root}) {
		return nil
	}
	keys := n.wrapKeys()
	err := n.store.EditIAM(ctx, func(m *placement.Map) ([]placement.IAMChange, error) {
		if m.DataKey == nil || m.DataKey.ID != k.ID() {
			return nil, nil
		}
		missing := map[string][]byte{}
		for by, key := range keys {
			if _, err := store.Unwrap(n.cluster, m.DataKey, by, key); err != nil {
				missing[by] = key
			}
		}
		if len(missing) == 0 {
			return nil, nil
		}
		w, err := k.Wrapped(m.DataKey, missing)
		return []placement.IAMChange{{DataKey: w}}, err
	})
	if err == nil {
		n.wrapped = wrapping{k, root}
	}
	return err
}

// wrapping is what wrapDataKey has done.
type wrapping struct {
	key  *store.DataKey
	root *rootUser
}

// sealSecrets seals the secrets that an older version has left in etcd.
func (n *Node) sealSecrets(ctx context.Context) error {
	for n.store.DataKey() != nil {
		sealed := 0
		err := n.store.EditIAM(ctx, func(m *placement.Map) (changes []placement.IAMChange, err error) {
			for _, id := range m.Identities {
				if len(id.Sealed) == 0 && len(changes) < placement.IAMChangesMax {
					changes = append(changes, placement.IAMChange{Identity: id})
				}
			}
			sealed = len(changes)
			return changes, nil
		})
		if err != nil || sealed == 0 {
			return err
		}
		n.log.Info("secrets of access keys are sealed", "count", sealed)
	}
	return nil
}

// tellDataKey tells another node the key of the cluster's secrets.
func (p *peers) tellDataKey(w http.ResponseWriter, _ *http.Request) {
	var k *store.DataKey
	if s := p.store.Load(); s != nil {
		k = s.DataKey()
	}
	switch {
	case p.n.cfg.Cluster.Plain:
		refuse(w, http.StatusForbidden, errors.New("the key of the cluster's secrets is not told where nodes do not encrypt what they say"))
	case p.papers.Load().ByEtcd && p.n.cfg.Root.AccessKey != "": // who reads etcd can make himself a node, and the right ones have root's
		refuse(w, http.StatusForbidden, errors.New("the key of the cluster's secrets is for nodes that were given root's credentials"))
	case k == nil:
		refuse(w, http.StatusConflict, store.ErrNoDataKey)
	default:
		reply(w, k.Bytes())
	}
}

// secretProblems are those that this node has with the secrets of access keys.
func (n *Node) secretProblems() (out []adminapi.Problem) {
	closed := 0
	for _, id := range n.store.Map().Identities {
		if id.Secret == "" {
			closed++
		}
	}
	if closed > 0 {
		out = append(out, adminapi.Problem{
			Severity: adminapi.SeverityError, Text: fmt.Sprintf("the secrets of %s cannot be read: requests with them are answered 503", plural.Of(closed, "access key")),
			Remedy: secretsRemedy,
		})
	}
	return out
}
