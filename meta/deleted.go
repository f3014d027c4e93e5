package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
)

// A bucket that is deleted is empty, and stays sealed in its ranges. A process whose map lags behind may still take a name
// for that bucket, while another has made a new one of the name: what is in the new one is not found in the old. So before
// something is said to be absent from a bucket that is sealed, the map is brought to what is committed (I20). A command
// that adds data is refused there in any case.

// absent is err, which says that something under a key is not there, unless the bucket is deleted. The key's range is asked,
// which was just read or written: every range that may have keys of a bucket has its seal.
// Errors: err, ErrNoSuchBucket, ErrUnavailable.
func (n *Node) absent(ctx context.Context, bucket ids.Bucket, key string, err error) error {
	resp, unknown := n.ask(ctx, findKey(bucket, key), &remotepb.Request{Op: &remotepb.Request_Sealed{Sealed: &remotepb.Sealed{Bucket: uint64(bucket)}}})
	switch {
	case errors.Is(unknown, ErrBadCommand): // an older version, which does not know the question
		return err
	case unknown != nil:
		return unknown
	case !resp.GetSealed():
		return err
	}
	return n.unlessDeleted(ctx, bucket, err)
}

// unlessEmpty is nil for a page that has entries, or that is empty though the bucket is not deleted. It began behind from. Errors: as absent's.
func (n *Node) unlessEmpty(ctx context.Context, bucket ids.Bucket, from string, entries int) error {
	if entries > 0 {
		return nil
	}
	return n.absent(ctx, bucket, from, nil)
}

// unlessDeleted is err, unless a bucket that is sealed is deleted. Errors: err, ErrNoSuchBucket, ErrUnavailable.
func (n *Node) unlessDeleted(ctx context.Context, bucket ids.Bucket, err error) error {
	if failed := n.opt.Sync(ctx); failed != nil {
		return fmt.Errorf("%w: the bucket is sealed, and may be deleted: %w", ErrUnavailable, failed)
	}
	if n.opt.Map().BucketByID(bucket) == nil {
		return ErrNoSuchBucket
	}
	return err
}
