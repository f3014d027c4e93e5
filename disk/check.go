package disk

import (
	"fmt"
	"maps"
	"sync"

	"github.com/cockroachdb/errors/oserror"
)

// identities tell the opened drive's directories and identity file from others at the same paths.
type identities struct {
	mu  sync.RWMutex // held for reading while somebody compares, so that who replaces sherd.json is not taken for a stranger
	ids map[string]fileID
}

func (d *Drive) lookAround() (map[string]fileID, error) {
	found := make(map[string]fileID)
	for _, name := range []string{"", chunksName, logName, rowsName, identityName} {
		id, err := identify(d.opt.FS, d.opt.FS.PathJoin(d.opt.Path, name))
		if err != nil {
			return nil, err
		}
		found[name] = id
	}
	return found, nil
}

// refresh takes what is there now for the drive's own.
func (i *identities) refresh(d *Drive) error {
	return i.change(d, func() error { return nil })
}

// change is refresh after fn replaced one of the files.
func (i *identities) change(d *Drive, fn func() error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := fn(); err != nil {
		return err
	}
	found, err := d.lookAround()
	if err == nil {
		i.ids = found
	}
	return err
}

// Check looks whether the path still leads to what was opened: five stats, each second, by the owner. ErrGone: the directory, or
// one of those in it that matter, is not there. ErrReplaced: it is another. The drive is failed then: what its open files
// still take is not on the drive any more. ErrUnavailable: it failed before.
func (d *Drive) Check() error {
	if h := d.Health(); h.State == Failed {
		return d.fault("check", d.unavailable())
	}
	if err := d.stillHere(); err != nil {
		d.fail(err)
		return d.fault("check", err)
	}
	return nil
}

// stillHere looks whether the path still leads to what was opened. Whatever creates, replaces or removes files by their names asks first:
// two directories may have been exchanged, and the names of one are the other's too.
func (d *Drive) stillHere() error {
	d.here.mu.RLock()
	defer d.here.mu.RUnlock()
	found, err := d.lookAround()
	switch {
	case err != nil && oserror.IsNotExist(err):
		return fmt.Errorf("%w: %w", ErrGone, err)
	case err == nil && !maps.Equal(found, d.here.ids):
		return ErrReplaced
	}
	return err
}

// ours is stillHere for a handle that may have been given up since: then another one may be at the path, and nothing there is this
// one's. While the drive is opened it is the only one.
func (d *Drive) ours() error {
	select {
	case <-d.down:
		return d.unavailable()
	default:
	}
	if d.opening.Load() {
		return nil
	}
	return d.stillHere()
}
