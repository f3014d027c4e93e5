package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errSilent reports a file system that has not answered a call yet. Nothing is known of what the call did.
var errSilent = errors.New("its file system does not answer")

// calls are those to one bay's file system, which may hang: one at a time, and nobody waits longer than he wants to
// (I12). A call that was given up goes on by itself. Not safe for concurrent use.
type calls struct {
	what    string
	since   time.Time
	pending chan struct{} // closed when the call under way has ended; nil: there was none
}

// ask makes a call and waits for it no longer than patience, or ctx. What f wrote may be read only if ask returned nil.
//
// Errors: errSilent, also while an earlier call has not ended; ctx's.
func (c *calls) ask(ctx context.Context, patience time.Duration, what string, f func()) error {
	if c.hung() {
		return fmt.Errorf("%w: %s since %s", errSilent, c.what, time.Since(c.since).Round(time.Second))
	}
	done := make(chan struct{})
	c.what, c.since, c.pending = what, time.Now(), done
	go func() { // outlives the call only if the file system hangs
		defer close(done)
		f()
	}()
	return await(ctx, patience, done, what)
}

// hung reports whether a call that was given up has still not ended.
func (c *calls) hung() bool {
	if c.pending == nil {
		return false
	}
	select {
	case <-c.pending:
		return false
	default:
		return true
	}
}

func await(ctx context.Context, patience time.Duration, done <-chan struct{}, what string) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-limit.C:
		return fmt.Errorf("%w: %s takes longer than %s", errSilent, what, patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errLeft reports what had not ended when there was no more time to wait for it.
var errLeft = errors.New("left behind")

// finish runs f and waits for it until ctx ends, but for at least some time; then f is left to itself: what hangs does
// not hold up the end of the process.
func finish(ctx context.Context, least time.Duration, what string, f func()) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	begin := time.Now()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	if await(context.WithoutCancel(ctx), max(least-time.Since(begin), 0), done, what) != nil {
		return fmt.Errorf("%w: %s", errLeft, what)
	}
	return nil
}
