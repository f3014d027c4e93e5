package meta

import (
	"bytes"
	"context"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/state"
)

// Who goes through several ranges asks the one that has a place, learns from its answer where it ended at that state, and goes on
// there: what splits meanwhile is neither left out nor visited twice (I20). Places are bounds of routes: inclusive, exclusive,
// empty for the least and past the greatest.

// bucketSpan is where a bucket's routes are.
func bucketSpan(bucket ids.Bucket) state.KeyRange {
	return state.KeyRange{Start: keys.AppendPrefix(nil, bucket, ""), End: keys.AppendPrefix(nil, bucket+1, "")}
}

// ends reports whether a range that ends at end is the last of a span.
func ends(end []byte, span state.KeyRange) bool {
	return len(end) == 0 || len(span.End) > 0 && bytes.Compare(end, span.End) >= 0
}

// sweep asks each range of span, ascending, until took returns false. Errors: ErrUnavailable.
func (n *Node) sweep(ctx context.Context, span state.KeyRange, req func() *remotepb.Request, took func(*remotepb.Response) (more bool)) error {
	for place := span.Start; ; {
		resp, err := n.ask(ctx, findPlace(place), req())
		if err != nil {
			return err
		}
		if !took(resp) || ends(resp.GetEnd(), span) {
			return nil
		}
		place = resp.GetEnd()
	}
}

// command has each range of span, ascending, do what a command to the range as a whole says. Errors: ErrUnavailable, and what
// a refusal means; then some ranges may have done it.
func (n *Node) command(ctx context.Context, span state.KeyRange, cmd *metapb.Command) error {
	for place := span.Start; ; {
		each := &metapb.Command{From: place, Op: cmd.Op}
		result, err := n.do(ctx, findPlace(place), each)
		if err == nil {
			err = outcomeError(result)
		}
		if err != nil {
			return err
		}
		if ends(result.GetEnd(), span) {
			return nil
		}
		place = result.GetEnd()
	}
}
