package meta

import (
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/state"
)

// Errors that callers tell apart.
var (
	ErrNoSuchKey    = state.ErrNoSuchKey
	ErrNoSuchUpload = state.ErrNoSuchUpload
	ErrCorrupt      = state.ErrCorrupt // a row or a record that is present but wrong
	// ErrNoSuchVersion is an ErrNoSuchKey, too.
	ErrNoSuchVersion = state.ErrNoSuchVersion

	ErrPrecondition = errors.New("meta: precondition failed")
	ErrLocked       = errors.New("meta: version is locked") // object lock keeps it as it is
	ErrPartChanged  = errors.New("meta: a named part is absent or another body: read the parts again")
	ErrSealed       = errors.New("meta: bucket is sealed")  // it may be unsealed within seconds
	ErrNoSuchBucket = errors.New("meta: bucket is deleted") // though the map that was used had it
	ErrTooOld       = errors.New("meta: request or upload id is older than the range takes")
	ErrReclaimed    = errors.New("meta: body was given to the reclaimer")
	ErrPoolClosed   = errors.New("meta: the body's pool is being removed") // choose the pool again
	ErrStaleRules   = errors.New("meta: command was built with old rules of the bucket")
	ErrBadCommand   = errors.New("meta: command has no meaning")
	ErrUnavailable  = errors.New("meta: range has no leader, or the outcome is unknown") // retry later
	ErrFull         = errors.New("meta: most drives of the range are full")

	errStaleRange = errors.New("meta: range has another generation: the map is old")
	errSplit      = errors.New("meta: key is not in the range: it has split") // and the map does not have that yet
)

// PartChangedError says which part.
type PartChangedError struct{ Part uint32 }

func (e *PartChangedError) Error() string { return fmt.Sprintf("%v: part %d", ErrPartChanged, e.Part) }

// Is makes it an ErrPartChanged.
func (e *PartChangedError) Is(target error) bool { return target == ErrPartChanged }

// DeleteError is what became of one target of a DeleteVersions; nil if it was deleted.
// Errors: ErrLocked, ErrPrecondition, ErrNoSuchKey of a condition, ErrSealed; ErrUnavailable for nil, which is not known.
func DeleteError(r *metapb.DeleteResult) error {
	if r == nil {
		return ErrUnavailable
	}
	return codeError(&metapb.Result{Code: r.Code})
}

// codeError is what a command's result means to its caller; nil if it was done.
func codeError(r *metapb.Result) error {
	switch r.GetCode() {
	case metapb.Code_OK:
		return nil
	case metapb.Code_PRECONDITION_FAILED:
		return ErrPrecondition
	case metapb.Code_NO_SUCH_KEY:
		return ErrNoSuchKey
	case metapb.Code_NO_SUCH_VERSION:
		return ErrNoSuchVersion
	case metapb.Code_LOCKED:
		return ErrLocked
	case metapb.Code_NO_SUCH_UPLOAD:
		return ErrNoSuchUpload
	case metapb.Code_PART_CHANGED:
		return &PartChangedError{Part: r.GetPart()}
	case metapb.Code_TOO_OLD:
		return ErrTooOld
	case metapb.Code_RECLAIMED:
		return ErrReclaimed
	case metapb.Code_POOL_CLOSED:
		return ErrPoolClosed
	case metapb.Code_SEALED:
		return ErrSealed
	case metapb.Code_STALE_RULES:
		return ErrStaleRules
	case metapb.Code_STALE_RANGE:
		return errSplit
	}
	return fmt.Errorf("%w: %v", ErrBadCommand, r.GetCode())
}
