package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/disk"
)

// status is how a request ended. The numbers are the protocol's.
type status uint8

const (
	statusOK          status = 0
	statusUnavailable status = 1 // also any error without a status of its own
)

// statuses are the disk package's errors on the wire. Of those that an error is, the first is sent.
var statuses = [...]error{
	statusUnavailable: disk.ErrUnavailable,
	2:                 disk.ErrNotFound,
	3:                 disk.ErrCorrupt,
	4:                 disk.ErrFull,
	5:                 disk.ErrExists,
	6:                 disk.ErrEpoch,
	7:                 disk.ErrDeleted,
	8:                 disk.ErrInvalid,
}

// textMax bounds the text of an error that is sent.
const textMax = 1 << 10

// statusOf gives what to send of err.
func statusOf(err error) (s status, text []byte) {
	if err == nil {
		return statusOK, nil
	}
	text = []byte(err.Error())
	text = text[:min(len(text), textMax)]
	for s, is := range statuses {
		if is != nil && errors.Is(err, is) {
			return status(s), text
		}
	}
	return statusUnavailable, text
}

// errorOf is the error that a reply stands for.
func errorOf(s status, text []byte) error {
	if s == statusOK {
		return nil
	}
	is := disk.ErrUnavailable // or a newer peer's
	if int(s) < len(statuses) {
		is = statuses[s]
	}
	return fmt.Errorf("%w: %s", is, text)
}

// unanswered is the error of a call whose outcome is not known.
func unanswered(err error) error {
	if errors.Is(err, disk.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", disk.ErrUnavailable, err)
}
