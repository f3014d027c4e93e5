package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// bounded is ctx for one request: it ends when RequestTimeout has passed, and with the store.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.RequestTimeout)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// retry calls fn, which must be safe to repeat, until it succeeds, fails for good, or RequestTimeout has passed.
// Errors: fn's own; ErrUnavailable when etcd did not answer in time, or before Close.
func (s *Store) retry(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	wait := 10 * time.Millisecond
	for {
		err := s.try(ctx, fn)
		if !transient(err) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		pause(ctx, wait)
		wait = min(2*wait, 250*time.Millisecond)
	}
}

// try calls fn once, under the deadline of one try.
func (s *Store) try(ctx context.Context, fn func(context.Context) error) error {
	try, cancel := context.WithTimeout(ctx, s.opt.TryTimeout)
	defer cancel()
	err := fn(try)
	switch {
	case err == nil:
		s.heard()
	case (try.Err() == context.DeadlineExceeded || isLearners(err)) && s.opt.Redial != nil:
		s.opt.Redial() // that member may hang, or has no vote: ask another next
	}
	return err
}

// isLearners reports whether err is the answer of a member that has no vote.
func isLearners(err error) bool {
	return errors.Is(err, rpctypes.ErrGRPCNotSupportedForLearner) || errors.Is(err, rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner))
}

// transient tells the errors of an etcd that is away, has no leader, or is busy, from answers.
func transient(err error) bool {
	if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrCorrupt) {
		return false
	}
	if isLearners(err) { // it will have a vote soon, and others have one
		return true
	}
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		switch known.Code() {
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
			return known != rpctypes.ErrNoSpace
		}
		return false
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return true
	case codes.Unknown: // etcd has no code for what goes wrong inside a member: "raft: stopped", as it ends
		_, isStatus := status.FromError(err)
		return isStatus
	}
	return false
}

// commit runs one transaction, without a second try: whether a transaction without an answer took place is for the
// caller to find out. It also writes the row that Sync reads.
// Errors: ErrConflict if a guard does not hold; anything else is transient or final by transient.
func (s *Store) commit(ctx context.Context, guards []clientv3.Cmp, ops []clientv3.Op) (revision int64, err error) {
	ops = append(ops[:len(ops):len(ops)], clientv3.OpPut(s.key(lastKey), ""))
	err = s.try(ctx, func(ctx context.Context) error {
		resp, err := s.kv.Txn(ctx).If(guards...).Then(ops...).Commit()
		if err != nil {
			return err
		}
		if !resp.Succeeded {
			return ErrConflict
		}
		revision = resp.Header.Revision
		return nil
	})
	return revision, err
}

// get reads one row by quorum; nil if it is not there.
func (s *Store) get(ctx context.Context, key string, opts ...clientv3.OpOption) (kv *mvccpb.KeyValue, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		got, err := s.kv.Get(ctx, s.key(key), opts...)
		if err != nil {
			return err
		}
		kv = nil
		if len(got.Kvs) > 0 {
			kv = got.Kvs[0]
		}
		return nil
	})
	return kv, err
}

// update reads, changes and writes one row until nobody came between, or RequestTimeout has passed. edit gets the row's
// present value, nil if there is none, and returns the new one: the same to leave it, "" to delete it. It is called again where
// somebody came between: a put is never made twice, but of a deletion, and of a row that was deleted meanwhile, edit must see for
// itself that its change was made.
// The map holds the change when update returns nil, unless etcd went away in that moment.
func (s *Store) update(ctx context.Context, key string, edit func(value []byte) (string, error), guards ...clientv3.Cmp) error {
	return s.updateLeased(ctx, key, clientv3.NoLease, edit, guards...)
}

// updateLeased is update of a row that goes with a lease.
func (s *Store) updateLeased(ctx context.Context, key string, lease clientv3.LeaseID, edit func(value []byte) (string, error), guards ...clientv3.Cmp) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		kv, err := s.get(ctx, key)
		if err != nil {
			return err
		}
		var old []byte
		revision := int64(0)
		if kv != nil {
			old, revision = kv.Value, kv.ModRevision
		}
		value, err := edit(old)
		if err != nil {
			return err
		}
		if value == string(old) {
			s.awaitRevision(ctx, revision) // committed anyway
			return nil
		}
		all := append(guards[:len(guards):len(guards)], clientv3.Compare(clientv3.ModRevision(s.key(key)), "=", revision))
		var at int64
		if value == "" {
			at, err = s.commit(ctx, all, []clientv3.Op{clientv3.OpDelete(s.key(key))})
		} else {
			put := clientv3.OpPut(s.key(key), value, clientv3.WithLease(lease))
			at, err = s.commitOnce(ctx, key, kv, value, all, []clientv3.Op{put})
		}
		if err == nil {
			s.awaitRevision(ctx, at)
			return nil
		}
		if !errors.Is(err, ErrConflict) && !transient(err) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		pause(ctx, wait)
	}
}

// commitOnce is commit until it is known whether the transaction took place: without an answer the same one is sent again, which its
// guards let happen once. One of its operations puts value at key, and one of its guards is that the row there is still was, nil for none.
// What another wrote there in its stead must differ from value, or be as good.
// Errors: ErrConflict: it did not take place and never will. ErrUnavailable: the outcome is unknown. Others are final.
func (s *Store) commitOnce(ctx context.Context, key string, was *mvccpb.KeyValue, value string, guards []clientv3.Cmp, ops []clientv3.Op) (int64, error) {
	unsure := false
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		at, err := s.commit(ctx, guards, ops)
		switch {
		case errors.Is(err, ErrConflict) && unsure:
			return s.tookPlace(ctx, key, was, value)
		case !transient(err):
			return at, err
		case ctx.Err() != nil:
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		unsure = true
		pause(ctx, wait)
	}
}

// tookPlace finds out whether the row at key became value right after it was was, and at which revision: later writes do not hide that.
// Errors: ErrConflict: it did not. ErrUnavailable, also where etcd has forgotten.
func (s *Store) tookPlace(ctx context.Context, key string, was *mvccpb.KeyValue, value string) (int64, error) {
	next := int64(1) // the version of the row that came after was
	if was != nil {
		next = was.Version + 1
	}
	kv, err := s.get(ctx, key)
	for err == nil && kv != nil && kv.Version > next {
		kv, err = s.get(ctx, key, clientv3.WithRev(kv.ModRevision-1))
	}
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return 0, err
	case kv == nil, kv.Version != next, was != nil && kv.CreateRevision != was.CreateRevision, string(kv.Value) != value:
		return 0, ErrConflict
	}
	return kv.ModRevision, nil
}

// absent is the guard that a row is not there.
func (s *Store) absent(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(s.key(key)), "=", 0)
}
