package disk

import (
	"errors"
	"fmt"
)

var (
	ErrNotFound    = errors.New("disk: no such chunk")
	ErrCorrupt     = errors.New("disk: chunk corrupt")                     // bytes are there but wrong, or cannot be read: repair, never retry
	ErrFull        = errors.New("disk: drive full")                        // under its reserve: deletes go on
	ErrUnavailable = errors.New("disk: drive unavailable")                 // failed, hanging or closed: ask another
	ErrExists      = errors.New("disk: other content under this key")      // I7
	ErrEpoch       = errors.New("disk: placement group has a newer epoch") // I5: reload the map
	ErrDeleted     = errors.New("disk: key is deleted")                    // I16: never again
	ErrLocked      = errors.New("disk: locked")
	ErrNotDrive    = errors.New("disk: not a drive of this cluster") // Open: blank, foreign or damaged; see Probe
	ErrNotEmpty    = errors.New("disk: directory is not empty")      // Format
	ErrGone        = errors.New("disk: directory is gone")           // Check
	ErrReplaced    = errors.New("disk: directory was replaced")      // Check
	ErrInvalid     = errors.New("disk: invalid argument")            // a caller's bug
)

// Error says which operation failed on which drive. It matches what Err matches.
type Error struct {
	Op   string
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("disk: %s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func (d *Drive) fault(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Path: d.opt.Path, Err: err}
}
