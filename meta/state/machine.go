package state

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

const (
	requestKept   = 5 * time.Minute    // I1
	requestPurge  = 10 * time.Second   // request rows are dropped in steps of this
	doneKept      = 7 * 24 * time.Hour // I21
	expirePerStep = 16                 // done rows that one command drops at most
	countersKept  = 4096               // buckets whose counters are kept in memory between batches
	stampMax      = hlc.Stamp(1<<64 - 1)
)

// Machine applies commands to one replica's rows. It keeps a copy of the range's own rows and nothing else that a
// reload would not give.
type Machine struct {
	span    Span
	applied keys.Applied
	seals   map[ids.Bucket]bool // holds true only
	rules   map[ids.Bucket]*metapb.Rules
	pools   map[ids.Pool]bool // closed; holds true only
	oldest  hlc.Stamp         // of table Expiry; stampMax if it is empty
	splitState

	counters map[ids.Bucket]*counters // read as they are needed

	// Of the batch under way.
	b           *pebble.Batch
	it          *pebble.Iterator // over b; nil until it is needed
	seen        int              // b.Len() when it was opened or refreshed
	dirty       []ids.Bucket     // whose counters changed, in the order of change
	sealed      []sealChange
	ruled       []rulesChange
	closedPools []poolChange
	built       int64  // of the command under way: the revision of the rules that it was built with
	level       uint32 // of the command under way: the cluster's, as who proposed it knows

	// Scratch, reused by every command.
	key, details, named, route []byte
	options                    pebble.IterOptions
}

type counters struct {
	keys.Counters
	dirty bool
}

type sealChange struct {
	bucket ids.Bucket
	on     bool
}

// Load reads the range's state. A range without rows is an empty range at index 0.
func Load(r pebble.Reader, span Span) (*Machine, error) {
	m := &Machine{
		span:     span,
		oldest:   stampMax,
		seals:    map[ids.Bucket]bool{},
		rules:    map[ids.Bucket]*metapb.Rules{},
		pools:    map[ids.Pool]bool{},
		counters: map[ids.Bucket]*counters{},
	}
	found, err := get(r, keys.AppendRange(nil, keys.Applieds, span.ID), m.applied.Decode)
	if err != nil || !found {
		return m, err
	}
	if err := m.loadSeals(r); err != nil {
		return nil, err
	}
	if err := m.loadRules(r); err != nil {
		return nil, err
	}
	if err := m.loadPools(r); err != nil {
		return nil, err
	}
	if err := m.loadSplit(r); err != nil {
		return nil, err
	}
	err = scan(r, keys.AppendRange(nil, keys.Expiry, span.ID), func(k, _ []byte) error {
		var err error
		if m.oldest, _, err = parseExpiry(k); err != nil {
			return err
		}
		return errStop
	})
	return m, err
}

func (m *Machine) loadSeals(r pebble.Reader) error {
	prefix := keys.AppendRange(nil, keys.Seals, m.span.ID)
	return scan(r, prefix, func(k, _ []byte) error {
		bucket, err := parseBucket(k[len(prefix):])
		m.seals[bucket] = true
		return err
	})
}

// Apply applies one committed command to b, an indexed batch over the replica's rows, and returns its result. nil for
// cmd is an undecodable one. All calls until Finish or Abandon must give the same b.
//
// Memory: the result belongs to the caller; cmd is not kept.
// Errors: only a failing drive's. The Machine must then be dropped and b not be committed.
func (m *Machine) Apply(b *pebble.Batch, cmd *metapb.Command) (*metapb.Result, error) {
	m.b = b
	m.built, m.level = cmd.GetRules(), cmd.GetLevel()
	if cmd == nil || len(cmd.Request) != len(ids.Upload{}) || cmd.Op == nil {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	request := ids.Upload(cmd.Request)
	last := m.applied.TS
	if request.Stamp() < before(last, requestKept) {
		return refuse(metapb.Code_TOO_OLD)
	}
	if old, err := m.known(request); old != nil || err != nil {
		return old, err
	}
	ts := max(hlc.Stamp(cmd.Ts), last+1)
	if ts == stampMax { // there would be no next one
		return refuse(metapb.Code_BAD_COMMAND)
	}
	res, err := m.do(cmd, ts)
	if err != nil {
		return nil, err
	}
	m.applied.TS = ts
	if err := m.remember(request, res); err != nil {
		return nil, err
	}
	if err := m.forget(last, ts); err != nil {
		return nil, err
	}
	if err := m.expire(ts); err != nil {
		return nil, err
	}
	return res, m.letExpire()
}

// do applies what the command asks for. A command to the range as a whole says where the sender takes the range to be, and
// learns how far it goes: who goes through all ranges of a bucket misses none that a split makes meanwhile (I20).
func (m *Machine) do(cmd *metapb.Command, ts hlc.Stamp) (*metapb.Result, error) {
	switch cmd.Op.(type) {
	case *metapb.Command_RaiseClosed, *metapb.Command_Seal, *metapb.Command_SetRules, *metapb.Command_ClosePool:
		if !m.span.Contains(cmd.From) {
			return refuse(metapb.Code_STALE_RANGE)
		}
		res, err := m.run(cmd, ts)
		if err == nil {
			res.End = m.span.End
		}
		return res, err
	}
	return m.run(cmd, ts)
}

func (m *Machine) run(cmd *metapb.Command, ts hlc.Stamp) (*metapb.Result, error) {
	switch op := cmd.Op.(type) {
	case *metapb.Command_Put:
		return m.put(op.Put, ts)
	case *metapb.Command_Delete:
		return m.deleteVersions(op.Delete, ts)
	case *metapb.Command_CreateUpload:
		return m.createUpload(op.CreateUpload, ts)
	case *metapb.Command_PutPart:
		return m.putPart(op.PutPart, ts)
	case *metapb.Command_CompleteUpload:
		return m.completeUpload(op.CompleteUpload, ts)
	case *metapb.Command_AbortUpload:
		return m.abortUpload(op.AbortUpload, ts)
	case *metapb.Command_AckRepair:
		return m.ackRepair(op.AckRepair)
	case *metapb.Command_AckReclaim:
		return m.ackReclaim(op.AckReclaim)
	case *metapb.Command_AddRepair:
		return m.addRepairs(op.AddRepair, ts)
	case *metapb.Command_RaiseClosed:
		return m.raiseClosed(op.RaiseClosed, ts)
	case *metapb.Command_Seal:
		return m.seal(op.Seal)
	case *metapb.Command_SetRules:
		return m.setRules(op.SetRules)
	case *metapb.Command_Reencode:
		return m.reencode(op.Reencode, ts)
	case *metapb.Command_ClosePool:
		return m.closePool(op.ClosePool)
	case *metapb.Command_Update:
		return m.updateVersion(op.Update, ts)
	case *metapb.Command_PrepareSplit:
		return m.prepareSplit(op.PrepareSplit, ts)
	case *metapb.Command_Split:
		return m.splitAt(op.Split, ts)
	}
	return refuse(metapb.Code_BAD_COMMAND)
}

// Finish writes the range's own rows (applied index and term, stamps, counters) into b, after any number of commands,
// and ends the batch. The caller commits b.
func (m *Machine) Finish(b *pebble.Batch, index, term uint64) (Effect, error) {
	m.applied.Index, m.applied.Term = index, term
	e := Effect{applied: m.applied, oldest: m.oldest, seals: slices.Clone(m.sealed), rules: slices.Clone(m.ruled), pools: slices.Clone(m.closedPools)}
	for _, bucket := range m.dirty {
		c := m.counters[bucket]
		c.dirty = false
		e.counters = append(e.counters, bucketCounters{bucket, c.Counters})
		if err := m.writeCounters(b, bucket, &c.Counters); err != nil {
			return Effect{}, err
		}
	}
	if m.splitChanged {
		e.split = m.copy()
		if err := m.writeSplit(b); err != nil {
			return Effect{}, err
		}
	}
	m.key = keys.AppendRange(m.key[:0], keys.Applieds, m.span.ID)
	if err := b.Set(m.key, m.applied.Append(nil), nil); err != nil {
		return Effect{}, err
	}
	m.trim()
	return e, m.end()
}

func (m *Machine) writeCounters(b *pebble.Batch, bucket ids.Bucket, c *keys.Counters) error {
	m.key = keys.AppendBucket(m.key[:0], keys.Counts, m.span.ID, bucket)
	if *c == (keys.Counters{}) {
		return b.Delete(m.key, nil)
	}
	return b.Set(m.key, c.Append(nil), nil)
}

// trim keeps the cache of counters bounded. What is dropped is read again.
func (m *Machine) trim() {
	if len(m.counters) > countersKept {
		clear(m.counters)
	}
}

// end closes what the batch had open.
func (m *Machine) end() error {
	m.dirty, m.sealed, m.ruled, m.closedPools, m.splitChanged = m.dirty[:0], m.sealed[:0], m.ruled[:0], m.closedPools[:0], false
	m.b = nil
	if m.it == nil {
		return nil
	}
	err := m.it.Close()
	m.it = nil
	return err
}

// Abandon forgets a batch that will not be committed and frees what Apply holds open. m must be dropped.
func (m *Machine) Abandon() { _ = m.end() } // the iterator's error is the drive's, which is why it is abandoned

// Effect is what a finished batch did to the Machine's own copy. It is immutable.
type Effect struct {
	applied  keys.Applied
	oldest   hlc.Stamp
	counters []bucketCounters
	seals    []sealChange
	rules    []rulesChange
	pools    []poolChange
	split    *splitState // nil: as before
}

type bucketCounters struct {
	bucket ids.Bucket
	keys.Counters
}

// Follow takes another Machine's effect, whose batch the caller has committed to its own rows in place of applying the
// same commands. m must have stood where that batch began.
func (m *Machine) Follow(e Effect) {
	m.applied, m.oldest = e.applied, e.oldest
	for _, c := range e.counters {
		m.counters[c.bucket] = &counters{Counters: c.Counters}
	}
	for _, s := range e.seals {
		m.setSeal(s)
	}
	for _, c := range e.rules {
		m.rules[c.bucket] = c.rules
	}
	for _, c := range e.pools {
		m.setPool(c)
	}
	if e.split != nil {
		m.splitState = *e.split.copy()
	}
	m.trim()
}

// Applied returns the index and term of the last Raft entry whose effect is in the rows; 0, 0 for an empty range.
func (m *Machine) Applied() (index, term uint64) { return m.applied.Index, m.applied.Term }

// Last is the greatest stamp given (I18).
func (m *Machine) Last() hlc.Stamp { return m.applied.TS }

// Closed is below which upload ids are refused (I6).
func (m *Machine) Closed() hlc.Stamp { return m.applied.Closed }

// Queued is how many rows the repair and reclaim queues have.
func (m *Machine) Queued() (repairs, reclaims uint64) { return m.applied.Repairs, m.applied.Reclaims }

// Span is what rows are the range's. A Split ends it earlier.
func (m *Machine) Span() Span { return m.span }

// Sealed lists the sealed buckets, ascending.
func (m *Machine) Sealed() []ids.Bucket { return slices.Sorted(maps.Keys(m.seals)) }

// before is s minus d, or 0.
func before(s hlc.Stamp, d time.Duration) hlc.Stamp {
	if back := hlc.Stamp(0).Add(d); s > back {
		return s - back
	}
	return 0
}

func refuse(c metapb.Code) (*metapb.Result, error) { return &metapb.Result{Code: c}, nil }

// known returns the result of a request that was applied before, or nil (I1).
func (m *Machine) known(request ids.Upload) (*metapb.Result, error) {
	if bytes.Compare(request[:], m.applied.Request[:]) > 0 {
		return nil, nil // greater than all that were taken: so most requests cost no look-up
	}
	var res *metapb.Result
	m.key = keys.AppendRequest(m.key[:0], m.span.ID, request)
	_, err := get(m.b, m.key, func(v []byte) error {
		res = new(metapb.Result)
		return corrupt(res.UnmarshalVT(v))
	})
	return res, err
}

// remember keeps res for a retry of request.
func (m *Machine) remember(request ids.Upload, res *metapb.Result) error {
	if bytes.Compare(request[:], m.applied.Request[:]) > 0 {
		m.applied.Request = request
	}
	m.key = keys.AppendRequest(m.key[:0], m.span.ID, request)
	return setMessage(m.b, m.key, res)
}

// forget drops the request rows that are too old to be asked for, once in a while: ids older than what is dropped
// are refused, so each drop begins where the last ended.
func (m *Machine) forget(last, ts hlc.Stamp) error {
	step := hlc.Stamp(0).Add(requestPurge)
	from, to := before(last-last%step, requestKept), before(ts-ts%step, requestKept)
	if from == to {
		return nil
	}
	start := keys.AppendRequest(nil, m.span.ID, leastID(from))
	return m.b.DeleteRange(start, keys.AppendRequest(nil, m.span.ID, leastID(to)), nil)
}

func leastID(s hlc.Stamp) (id ids.Upload) {
	for i := range 8 {
		id[i] = byte(s >> (56 - 8*i))
	}
	return id
}

// corrupt marks a decoder's error.
func corrupt(err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(ErrCorrupt, err)
}
