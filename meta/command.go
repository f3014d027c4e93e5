package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/replica"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// Do has the range of (bucket, key) commit and apply cmd, and returns what that gave, refusals included. It fills in
// request id, stamp and generation, and retries under the one request id (I1).
//
// Memory: cmd and all it refers to may be used again when Do has returned. The result is shared: do not change it.
// Errors: ErrUnavailable: the command may be applied, now or later, or not. ErrFull: it is not.
func (n *Node) Do(ctx context.Context, bucket ids.Bucket, key string, cmd *metapb.Command) (*metapb.Result, error) {
	return n.do(ctx, findKey(bucket, key), cmd)
}

// DoRange is Do for a command to a range of an id, whatever its span is by now.
func (n *Node) DoRange(ctx context.Context, id ids.Range, cmd *metapb.Command) (*metapb.Result, error) {
	return n.do(ctx, findRange(id), cmd)
}

func rangeOf(m *placement.Map, id ids.Range) *placement.Range {
	for _, r := range m.Ranges {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// do is Do for whichever range. A request id is the range's to which it was first sent, though the key be another's after a
// split (I1, I20): that range knows what became of it, or refuses it for ever. After that refusal the command goes, under
// another id, to the range that has the place.
func (n *Node) do(ctx context.Context, which finder, cmd *metapb.Command) (*metapb.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, n.opt.CommandTimeout)
	defer cancel()
	for {
		result, row, err := n.doRequest(ctx, which, cmd)
		if err != nil || result.GetCode() != metapb.Code_STALE_RANGE || which.id != 0 {
			return result, err
		}
		n.awaitSplit(ctx, row)
		if cause := ctx.Err(); cause != nil {
			return nil, fmt.Errorf("%w: range %d: %w, after %w", ErrUnavailable, row.ID, cause, errSplit)
		}
	}
}

// doRequest has one range commit and apply cmd under one request id. It returns the row of that range.
func (n *Node) doRequest(ctx context.Context, which finder, cmd *metapb.Command) (*metapb.Result, *placement.Range, error) {
	request := ids.NewUpload(n.opt.Clock.Now())
	s := search{n: n}
	for tried := false; ; {
		rng := which.in(n.directory())
		if rng == nil {
			return nil, nil, fmt.Errorf("%w: no range in the map", ErrUnavailable)
		}
		if !tried && addsData(cmd) && n.low(rng) { // after a try it may be applied
			return nil, rng, ErrFull
		}
		to, err := s.next(ctx, rng)
		if err != nil {
			return nil, rng, fmt.Errorf("%w: range %d: no leader: %w", ErrUnavailable, rng.ID, err)
		}
		// Each try has its own command: an earlier one may still be under way.
		try := &metapb.Command{Request: request[:], Rules: cmd.Rules, From: cmd.From, Level: uint32(n.opt.Level()), Op: cmd.Op}
		result, hint, err := n.attempt(ctx, to, rng, try, tried)
		switch cause := ctx.Err(); {
		case err == nil:
			s.found(to, rng.ID)
			return result, rng, nil
		case errors.Is(err, ErrFull) && !tried:
			return nil, rng, ErrFull
		case cause != nil:
			return nil, rng, fmt.Errorf("%w: range %d: %w, after %w", ErrUnavailable, rng.ID, cause, err)
		case errors.Is(err, replica.ErrBusy), errors.Is(err, ErrBadCommand):
			return nil, rng, fmt.Errorf("%w: range %d: %w", ErrUnavailable, rng.ID, err)
		case errors.Is(err, errStaleRange):
			s.stale(ctx, to)
		default:
			s.missed(to, rng, hint)
		}
		if tried = tried || !undone(err); tried {
			which = findRange(rng.ID)
		}
	}
}

// attempt tries cmd at t once. hint is who leads instead, as far as t knows.
func (n *Node) attempt(ctx context.Context, t target, rng *placement.Range, cmd *metapb.Command, retry bool) (_ *metapb.Result, hint ids.Replica, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.opt.AttemptTimeout)
	defer cancel()
	if t.lead != nil {
		cmd.Ts, cmd.Generation = uint64(n.opt.Clock.Now()), t.lead.Generation()
		result, err := t.lead.Propose(ctx, cmd)
		if ts := hlc.Stamp(result.GetTs()); t.lead.Mergeable(ts) {
			n.opt.Clock.Merge(ts)
		}
		return result, 0, err
	}
	resp, err := n.askOne(ctx, t, &remotepb.Request{
		Range: uint64(rng.ID), Generation: rng.Generation,
		Op: &remotepb.Request_Do{Do: &remotepb.Do{Command: cmd, Retry: retry}},
	})
	if err == nil {
		err = answerError(resp)
	}
	n.opt.Clock.Merge(hlc.Stamp(resp.GetClock()))
	return resp.GetResult(), ids.Replica(resp.GetLeader()), err
}

// undone reports whether a try that ended with err did nothing, and never will.
func undone(err error) bool {
	return errors.Is(err, replica.ErrNotLeader) || errors.Is(err, errStaleRange) || errors.Is(err, ErrFull)
}

// addsData reports whether a command needs room.
func addsData(cmd *metapb.Command) bool {
	switch cmd.Op.(type) {
	case *metapb.Command_Put, *metapb.Command_CreateUpload, *metapb.Command_PutPart, *metapb.Command_CompleteUpload, *metapb.Command_Reencode,
		*metapb.Command_Update:
		return true
	}
	return false
}

// low reports whether a majority of the range's drives are under their reserve (I12).
func (n *Node) low(rng *placement.Range) bool {
	low := 0
	for _, r := range rng.Replicas {
		if n.opt.Low(r.Drive) {
			low++
		}
	}
	return low > len(rng.Replicas)/2
}

// run is Do for callers that want the refusal as an error.
func (n *Node) run(ctx context.Context, bucket ids.Bucket, key string, cmd *metapb.Command) (*metapb.Result, error) {
	result, err := n.Do(ctx, bucket, key, cmd)
	if err != nil {
		return nil, err
	}
	return result, outcomeError(result)
}

func outcomeError(result *metapb.Result) error {
	err := codeError(result)
	if errors.Is(err, errSplit) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// knowsVersions is nil if all nodes of the cluster know what is said of versions; a leader that does not would take it for
// something else. Errors: ErrUnavailable.
func (n *Node) knowsVersions() error {
	if at := n.opt.Level(); at < state.LevelVersions {
		return fmt.Errorf("%w: versions need feature level %d, and the cluster is at %d", ErrUnavailable, state.LevelVersions, at)
	}
	return nil
}

// Made is a version that a command made.
type Made struct {
	TS        hlc.Stamp
	Versioned bool // it has an id, TS; else it is the key's null version
}

// PutVersion commits a version. rules, here and below, is the revision of the bucket's rules that the
// command was built with (I11): after ErrStaleRules it is to be built again, with those of today.
// Errors: ErrPrecondition, ErrLocked, ErrTooOld, ErrReclaimed, ErrPoolClosed, ErrSealed, ErrStaleRules, ErrFull, ErrUnavailable.
func (n *Node) PutVersion(ctx context.Context, rules int64, p *metapb.PutVersion) (Made, error) {
	r, err := n.run(ctx, ids.Bucket(p.Bucket), p.Key, &metapb.Command{Rules: rules, Op: &metapb.Command_Put{Put: p}})
	return Made{hlc.Stamp(r.GetTs()), r.GetVersioned()}, err
}

// UpdateVersion changes tags, ACL or lock of a version, in place.
// Errors: ErrNoSuchKey, ErrNoSuchVersion, ErrPrecondition if it is not what was expected, ErrLocked, ErrStaleRules, ErrFull, ErrUnavailable.
func (n *Node) UpdateVersion(ctx context.Context, rules int64, u *metapb.UpdateVersion) (Made, error) {
	if err := n.knowsVersions(); err != nil {
		return Made{}, err
	}
	r, err := n.run(ctx, ids.Bucket(u.Bucket), u.Key, &metapb.Command{Rules: rules, Op: &metapb.Command_Update{Update: u}})
	return Made{hlc.Stamp(r.GetTs()), r.GetVersioned()}, err
}

// DeleteVersions deletes keys, or versions of keys, as the bucket's versioning has it; what is absent is fine. What is of one
// range goes together, atomically; of several ranges, range by range.
//
// Keys have no results. Of targets the i-th result is the i-th's: see DeleteError. After an error those of some ranges are there,
// and what has none may be deleted, now or later, or not; after ErrStaleRules it is not.
// Errors: ErrNoSuchBucket, ErrStaleRules, ErrUnavailable; of keys also ErrPrecondition, ErrLocked, ErrSealed.
func (n *Node) DeleteVersions(ctx context.Context, rules int64, d *metapb.DeleteVersions) ([]*metapb.DeleteResult, error) {
	results, err := n.deleteVersions(ctx, rules, d)
	if err != nil || slices.ContainsFunc(results, marked) { // a bucket that is sealed takes no markers
		return results, err
	}
	key := ""
	if len(d.Targets) > 0 {
		key = d.Targets[0].GetKey()
	} else if len(d.Keys) > 0 {
		key = d.Keys[0]
	}
	if err := n.absent(ctx, ids.Bucket(d.Bucket), key, nil); err != nil {
		return nil, err // the results say that something is not there
	}
	return results, nil
}

// marked reports whether a deletion left or took away a marker.
func marked(r *metapb.DeleteResult) bool { return r.GetMarkerMade() || r.GetMarkerRemoved() }

func (n *Node) deleteVersions(ctx context.Context, rules int64, d *metapb.DeleteVersions) ([]*metapb.DeleteResult, error) {
	bucket := ids.Bucket(d.Bucket)
	command := func(d *metapb.DeleteVersions) *metapb.Command {
		return &metapb.Command{Rules: rules, Op: &metapb.Command_Delete{Delete: d}}
	}
	if len(d.Targets) == 0 {
		route := func(key string) []byte { return keys.Route(bucket, key) }
		return nil, byRange(ctx, n, d.Keys, route, func(part []string) *metapb.Command {
			return command(&metapb.DeleteVersions{Bucket: d.Bucket, Keys: part, Condition: d.Condition, Owner: d.Owner})
		}, nil)
	}
	if err := n.knowsVersions(); err != nil {
		return n.deletePlain(ctx, rules, d, err)
	}
	places := make([]int, len(d.Targets)) // in d.Targets
	for i := range places {
		places[i] = i
	}
	results := make([]*metapb.DeleteResult, len(d.Targets))
	route := func(i int) []byte { return keys.Route(bucket, d.Targets[i].GetKey()) }
	return results, byRange(ctx, n, places, route, func(part []int) *metapb.Command {
		some := &metapb.DeleteVersions{Bucket: d.Bucket, Owner: d.Owner}
		for _, i := range part {
			some.Targets = append(some.Targets, d.Targets[i])
		}
		return command(some)
	}, func(part []int, r *metapb.Result) {
		for j, result := range r.GetDeleted() {
			results[part[j]] = result
		}
	})
}

// deletePlain is DeleteVersions of targets where not all nodes know what they are: those that name no version go as keys, all at
// once if none has a condition. Errors: otherwise, if one names a version.
func (n *Node) deletePlain(ctx context.Context, rules int64, d *metapb.DeleteVersions, otherwise error) ([]*metapb.DeleteResult, error) {
	all, conditions := &metapb.DeleteVersions{Bucket: d.Bucket}, false
	for _, t := range d.Targets {
		if t.GetVersion() != 0 || t.GetNull() {
			return nil, otherwise
		}
		all.Keys, conditions = append(all.Keys, t.GetKey()), conditions || t.GetCondition() != nil
	}
	results := make([]*metapb.DeleteResult, len(d.Targets))
	if !conditions {
		if _, err := n.deleteVersions(ctx, rules, all); err != nil {
			return results, err
		}
		for i := range results {
			results[i] = new(metapb.DeleteResult)
		}
		return results, nil
	}
	for i, t := range d.Targets {
		one := &metapb.DeleteVersions{Bucket: d.Bucket, Keys: []string{t.GetKey()}, Condition: t.GetCondition()}
		switch _, err := n.deleteVersions(ctx, rules, one); {
		case errors.Is(err, ErrPrecondition):
			results[i] = &metapb.DeleteResult{Code: metapb.Code_PRECONDITION_FAILED}
		case errors.Is(err, ErrNoSuchKey):
			results[i] = &metapb.DeleteResult{Code: metapb.Code_NO_SUCH_KEY}
		case err != nil:
			return results, err
		default:
			results[i] = new(metapb.DeleteResult)
		}
	}
	return results, nil
}

// byRange sends a command about several keys to each range that has some of them. If a range splits meanwhile, so are they.
// took, if not nil, is told what became of each part.
func byRange[T any](ctx context.Context, n *Node, all []T, route func(T) []byte, command func(part []T) *metapb.Command, took func(part []T, r *metapb.Result)) error {
	ctx, cancel := context.WithTimeout(ctx, n.opt.CommandTimeout)
	defer cancel()
	for len(all) > 0 {
		d := n.directory()
		row := findPlace(route(all[0])).in(d)
		if row == nil {
			return fmt.Errorf("%w: no range in the map", ErrUnavailable)
		}
		var part, rest []T
		for _, t := range all {
			if len(d.m.Ranges) == 1 || findPlace(route(t)).in(d) == row {
				part = append(part, t)
			} else {
				rest = append(rest, t)
			}
		}
		result, err := n.do(ctx, findRange(row.ID), command(part))
		if err != nil {
			return err
		}
		switch err := codeError(result); {
		case errors.Is(err, errSplit):
			n.awaitSplit(ctx, row)
		case err != nil:
			return err
		default:
			if took != nil {
				took(part, result)
			}
			all = rest
		}
		if cause := ctx.Err(); cause != nil {
			return fmt.Errorf("%w: range %d: %w", ErrUnavailable, row.ID, cause)
		}
	}
	return nil
}

// Reencode has a version refer to another body of the same bytes (I14).
// Errors: ErrPrecondition if it is not the version or the body that was read, ErrTooOld, ErrReclaimed, ErrPoolClosed, ErrFull, ErrUnavailable.
func (n *Node) Reencode(ctx context.Context, c *metapb.Reencode) error {
	_, err := n.run(ctx, ids.Bucket(c.Bucket), c.Key, &metapb.Command{Op: &metapb.Command_Reencode{Reencode: c}})
	return err
}

// CreateUpload begins a multipart upload. Errors: ErrStaleRules, ErrSealed, ErrTooOld, ErrFull, ErrUnavailable.
func (n *Node) CreateUpload(ctx context.Context, rules int64, c *metapb.CreateUpload) error {
	_, err := n.run(ctx, ids.Bucket(c.Bucket), c.Key, &metapb.Command{Rules: rules, Op: &metapb.Command_CreateUpload{CreateUpload: c}})
	return err
}

// PutPart commits a part. Errors: ErrStaleRules, ErrNoSuchUpload, ErrTooOld, ErrReclaimed, ErrPoolClosed, ErrSealed, ErrFull, ErrUnavailable.
func (n *Node) PutPart(ctx context.Context, rules int64, p *metapb.PutPart) error {
	_, err := n.run(ctx, ids.Bucket(p.Bucket), p.Key, &metapb.Command{Rules: rules, Op: &metapb.Command_PutPart{PutPart: p}})
	return err
}

// CompleteUpload makes a version of the named parts; a repetition gets the version that the first made (I21).
// Errors: ErrNoSuchUpload, ErrPartChanged (a *PartChangedError), ErrPrecondition, ErrLocked, ErrStaleRules, ErrSealed, ErrFull, ErrUnavailable.
func (n *Node) CompleteUpload(ctx context.Context, rules int64, c *metapb.CompleteUpload) (*metapb.Version, error) {
	r, err := n.run(ctx, ids.Bucket(c.Bucket), c.Key, &metapb.Command{Rules: rules, Op: &metapb.Command_CompleteUpload{CompleteUpload: c}})
	if err != nil {
		return nil, err
	}
	return r.GetVersion(), nil
}

// AbortUpload ends an upload; its parts go to the reclaimer. Errors: ErrNoSuchUpload, ErrNoSuchBucket, ErrUnavailable.
func (n *Node) AbortUpload(ctx context.Context, a *metapb.AbortUpload) error {
	_, err := n.run(ctx, ids.Bucket(a.Bucket), a.Key, &metapb.Command{Op: &metapb.Command_AbortUpload{AbortUpload: a}})
	if errors.Is(err, ErrNoSuchUpload) {
		err = n.absent(ctx, ids.Bucket(a.Bucket), a.Key, err)
	}
	return err
}
