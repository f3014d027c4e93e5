package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/internal/ids"
)

// found is what the paths were when the node started.
type found struct {
	formatted, blank []*bay // blank: or not there
	problems         []string
}

// openDrives opens the drives of an existing cluster, or formats all on a first start (I10).
func (n *Node) openDrives(ctx, _ context.Context) error {
	looks, err := n.lookAtAll(ctx)
	if err != nil {
		return err
	}
	f, err := n.sort(looks)
	if err != nil {
		return err
	}
	if len(f.formatted) == 0 {
		if len(f.problems) > 0 {
			return fmt.Errorf("no drive can be opened, and a first start wants all drives blank: %s", strings.Join(f.problems, "; "))
		}
		if path := missingMount(n.cfg.FS, n.cfg.Fstab, n.cfg.Drives); path != "" {
			return fmt.Errorf("a first start would format what is below the mount point %s: %s has it, and it is not mounted: mount it first", path, n.cfg.Fstab)
		}
		if err := n.firstDrives(ctx, &f); err != nil || n.newcomer {
			return err
		}
	}
	if err := n.openAll(ctx, f.formatted); err != nil {
		return err
	}
	return n.finishFirstStart(ctx, f)
}

// lookAtAll looks at all paths side by side; one that hangs is passed over.
func (n *Node) lookAtAll(ctx context.Context) ([]look, error) {
	looks := make([]look, len(n.bays.list()))
	var wg sync.WaitGroup
	for i, b := range n.bays.list() {
		wg.Go(func() {
			l, err := n.lookAt(ctx, b)
			l.err = cmp.Or(l.err, err)
			looks[i] = l
		})
	}
	wg.Wait()
	return looks, ctx.Err()
}

// sort tells which paths are drives of the cluster, which is the one that most of them are of, and which may become some.
func (n *Node) sort(looks []look) (f found, err error) {
	if all, err := clusterOf(looks); err != nil {
		return f, err
	} else if all != (ids.Cluster{}) {
		n.cluster = all
	}
	for i, b := range n.bays.list() {
		l := &looks[i]
		problem := l.err
		switch {
		case problem != nil:
			problem = fmt.Errorf("%s: %w", b.path, l.err)
		case l.absent, l.state == disk.Blank:
			f.blank = append(f.blank, b)
		case l.state == disk.Formatted && l.id.Cluster == n.cluster && n.stray(l):
			problem = n.ofAnother(b, l.id.Drive, l.node)
		case l.state == disk.Formatted && l.id.Cluster == n.cluster:
			if twins, _ := n.bays.twins(b, l.id.Drive); len(twins) > 0 { // which is the copy the map will tell, when it is there
				problem = copyOfDrive(b, twins, l.id.Drive)
				break
			}
			b.setLast(l.id.Drive)
			f.formatted = append(f.formatted, b)
		case l.state == disk.Formatted:
			problem = n.otherCluster(b, *l)
		default:
			problem = l.problem(b)
		}
		if problem != nil {
			n.note(b, problem)
			f.problems = append(f.problems, problem.Error())
		}
	}
	return f, nil
}

// clusterOf is the cluster that more than half of the formatted drives are of; zero if none is formatted.
func clusterOf(looks []look) (most ids.Cluster, err error) {
	count := map[ids.Cluster]int{}
	all := 0
	for _, l := range looks {
		if l.err == nil && l.state == disk.Formatted {
			count[l.id.Cluster]++
			all++
			if count[l.id.Cluster] > count[most] {
				most = l.id.Cluster
			}
		}
	}
	if all > 0 && 2*count[most] <= all {
		return most, fmt.Errorf("the drives are of %d clusters, and no more than half of one: give drives of one cluster only", len(count))
	}
	return most, nil
}

// finishFirstStart finds out whether the cluster is still to be made, and formats what a first start that was cut short
// left blank.
func (n *Node) finishFirstStart(ctx context.Context, f found) (err error) {
	begun := false // etcd was
	if n.virgin, begun, err = n.untouched(ctx); err != nil || !n.virgin || begun || len(f.blank) == 0 {
		return err
	}
	if n.bays.open() < len(f.formatted) || len(f.problems) > 0 {
		return fmt.Errorf("a first start was cut short, and cannot go on without all drives: %s", strings.Join(f.problems, "; "))
	}
	if err := n.format(f.blank); err != nil {
		return err
	}
	return n.openAll(ctx, f.blank)
}

func (n *Node) format(bays []*bay) error {
	var wg sync.WaitGroup
	errs := make([]error, len(bays))
	for i, b := range bays {
		wg.Go(func() {
			if _, err := disk.Format(n.driveOptions(b), n.cluster); err != nil {
				errs[i] = fmt.Errorf("formatting %s: %w", b.path, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// openAll opens drives side by side. One that cannot be opened is left to its watcher, unless none can; so is one that
// takes long, once more than half of all are open.
func (n *Node) openAll(ctx context.Context, bays []*bay) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, b := range bays {
		wg.Go(func() {
			d, err := n.openPatiently(ctx, b)
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", b.path, err))
				mu.Unlock()
				n.note(b, err)
				return
			}
			n.bays.insert(b, d)
		})
	}
	wg.Wait()
	if n.bays.open() == 0 && len(bays) > 0 {
		return errors.Join(errs...)
	}
	return ctx.Err()
}

// openWithin is how long a drive may take to open when too few are open to go on without it.
const openWithin = 2 * time.Minute

func (n *Node) openPatiently(ctx context.Context, b *bay) (*disk.Drive, error) {
	for begin := time.Now(); ; {
		d, err := n.open(ctx, b, n.cfg.Patience)
		if !errors.Is(err, errSoon) || 2*n.bays.open() > len(n.bays.list()) || time.Since(begin) > openWithin {
			return d, err
		}
	}
}

// untouched reports whether no open drive holds anything, nor was adopted by a cluster that had some history: only then
// may a cluster's first records be made. begun tells whether etcd's were.
func (n *Node) untouched(ctx context.Context) (virgin, begun bool, err error) {
	fs := n.cfg.FS
	for _, d := range *n.bays.byID.Load() {
		if late, err := adopted(fs, d.Path()); err != nil || late {
			return false, false, err
		}
		if empty, err := holdsNothing(ctx, d); err != nil || !empty {
			return false, false, err
		}
		if _, err := fs.Stat(fs.PathJoin(d.Path(), etcdDir)); !oserror.IsNotExist(err) {
			begun = true
		}
	}
	return true, begun, nil
}

// holdsNothing reports whether d has neither a chunk nor a replica, and never lost any.
func holdsNothing(ctx context.Context, d *disk.Drive) (bool, error) {
	if d.ReplicasLost() {
		return false, nil
	}
	chunks, err := d.AllChunks(ctx, nil, 1)
	if err != nil || len(chunks) > 0 {
		return false, err
	}
	it, err := d.Rows().NewIter(&pebble.IterOptions{LowerBound: []byte{disk.TableMeta}})
	if err != nil {
		return false, err
	}
	empty := !it.First()
	return empty, it.Close()
}
