package erasure

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sherd-io/sherd/internal/ids"
)

var (
	// ErrNoQuorum: too few drives took the blob; nothing was acknowledged. Try again later (503).
	ErrNoQuorum = errors.New("erasure: too few drives took the blob")
	// ErrFull: drives are under their reserve (507).
	ErrFull = errors.New("erasure: drives are full")
	// ErrUnavailable: fewer than k shards can be read now, but drives that may hold others are away (503).
	ErrUnavailable = errors.New("erasure: shards unavailable")
	// ErrLost: fewer than k shards exist, and every drive that could hold one has answered.
	ErrLost = errors.New("erasure: shards lost")
	// ErrCorrupt: the blob's checksum is wrong and no choice of shards was found that has it (see the package's I22), or bytes already
	// sent proved wrong.
	ErrCorrupt = errors.New("erasure: blob corrupt")
	// ErrNoPool: the map has no such pool or placement group.
	ErrNoPool = errors.New("erasure: no such pool or placement group")
)

// QuorumError reports how many drives took a blob; Errs[i] is slot i's error, or nil.
type QuorumError struct {
	Need, Got int
	Errs      []error
}

func (e *QuorumError) Error() string {
	return fmt.Sprintf("%d of %d drives took the blob, need %d%s", e.Got, len(e.Errs), e.Need, slotErrors(e.Errs))
}

// Is matches ErrNoQuorum.
func (e *QuorumError) Is(target error) bool { return target == ErrNoQuorum }

// UnreadableError reports that fewer than k shards of a blob were readable; Errs[i] is slot i's error, or nil.
type UnreadableError struct {
	Ref  BlobRef
	Need int
	Errs []error
	Lost bool // no drive that may hold a shard is away
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("blob %v: fewer than %d shards readable%s", e.Ref.Blob, e.Need, slotErrors(e.Errs))
}

// Is matches ErrLost or ErrUnavailable.
func (e *UnreadableError) Is(target error) bool {
	if e.Lost {
		return target == ErrLost
	}
	return target == ErrUnavailable
}

func slotErrors(errs []error) string {
	var b strings.Builder
	for i, err := range errs {
		if err != nil {
			fmt.Fprintf(&b, "; slot %d: %v", i, err)
		}
	}
	return b.String()
}

// Kind says what is wrong with a shard.
type Kind uint8

const (
	Missing     Kind = iota + 1 // its drive answers and does not have it
	Corrupt                     // its drive has it, and bytes of it are wrong
	Unavailable                 // its drive failed or was silent too long
	Unsound                     // the blob's checksum is wrong with all of its shards: which spoil it shows only VerifyBlob. Of the blob; Slot is 0
)

func (k Kind) String() string {
	return [...]string{"?", "missing", "corrupt", "unavailable", "unsound"}[min(k, 4)]
}

// BadShard is what Options.Report is told.
type BadShard struct {
	Kind  Kind
	Drive ids.Drive
	Ref   BlobRef
	Slot  uint8
	// Write: a write gave the drive up. It must count as lost (suspect) until its repair rows are drained (I2).
	Write bool
	Err   error
}
