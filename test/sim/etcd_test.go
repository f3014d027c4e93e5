package sim

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// etcd is a key-value server with etcd's interface and semantics, as far as its client and placement/store use them: one revision for each
// transaction, watches from any revision, leases that lapse. It forgets nothing, and never fails by itself.
type etcd struct {
	etcdserverpb.UnimplementedKVServer
	etcdserverpb.UnimplementedWatchServer
	etcdserverpb.UnimplementedLeaseServer

	mu        sync.Mutex
	revision  int64
	rows      map[string]*mvccpb.KeyValue
	log       []*mvccpb.Event // all there ever were, in order of their revisions
	changed   chan struct{}   // closed at the next event
	leases    map[int64]*lease
	lastLease int64
}

type lease struct {
	ttl    time.Duration
	expiry *time.Timer
}

func newEtcd() *etcd {
	return &etcd{revision: 1, rows: map[string]*mvccpb.KeyValue{}, changed: make(chan struct{}), leases: map[int64]*lease{}}
}

// serve answers the connections of a host until stop is called.
func (e *etcd) serve(h *host, port string) (stop func()) {
	s := grpc.NewServer()
	etcdserverpb.RegisterKVServer(s, e)
	etcdserverpb.RegisterWatchServer(s, e)
	etcdserverpb.RegisterLeaseServer(s, e)
	l := h.listen(port)
	var done sync.WaitGroup
	done.Go(func() { _ = s.Serve(l) })
	return func() { s.Stop(); done.Wait() }
}

// close ends the leases' timers.
func (e *etcd) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.leases {
		l.expiry.Stop()
	}
}

func (e *etcd) header() *etcdserverpb.ResponseHeader {
	return &etcdserverpb.ResponseHeader{ClusterId: 1, MemberId: 1, Revision: e.revision, RaftTerm: 1}
}

// Range implements etcdserverpb.KVServer.
func (e *etcd) Range(_ context.Context, r *etcdserverpb.RangeRequest) (*etcdserverpb.RangeResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.read(r)
}

func (e *etcd) read(r *etcdserverpb.RangeRequest) (*etcdserverpb.RangeResponse, error) {
	if r.Revision > e.revision {
		return nil, rpctypes.ErrGRPCFutureRev
	}
	rows := e.rows
	if r.Revision > 0 && r.Revision < e.revision {
		rows = e.at(r.Revision)
	}
	var found []*mvccpb.KeyValue
	for _, kv := range rows {
		if within(kv.Key, r.Key, r.RangeEnd) &&
			(r.MaxCreateRevision == 0 || kv.CreateRevision <= r.MaxCreateRevision) && kv.CreateRevision >= r.MinCreateRevision &&
			(r.MaxModRevision == 0 || kv.ModRevision <= r.MaxModRevision) && kv.ModRevision >= r.MinModRevision {
			found = append(found, kv)
		}
	}
	slices.SortFunc(found, func(a, b *mvccpb.KeyValue) int { return order(r, a, b) })
	out := &etcdserverpb.RangeResponse{Header: e.header(), Count: int64(len(found))}
	if r.Limit > 0 && int64(len(found)) > r.Limit {
		found, out.More = found[:r.Limit], true
	}
	if !r.CountOnly {
		out.Kvs = found
	}
	return out, nil
}

func order(r *etcdserverpb.RangeRequest, a, b *mvccpb.KeyValue) int {
	by := bytes.Compare(a.Key, b.Key)
	switch r.SortTarget {
	case etcdserverpb.RangeRequest_CREATE:
		by = cmp.Compare(a.CreateRevision, b.CreateRevision)
	case etcdserverpb.RangeRequest_MOD:
		by = cmp.Compare(a.ModRevision, b.ModRevision)
	case etcdserverpb.RangeRequest_VERSION:
		by = cmp.Compare(a.Version, b.Version)
	}
	if r.SortOrder == etcdserverpb.RangeRequest_DESCEND {
		return -by
	}
	return by
}

// at is all rows as of an earlier revision.
func (e *etcd) at(revision int64) map[string]*mvccpb.KeyValue {
	rows := map[string]*mvccpb.KeyValue{}
	for _, ev := range e.log {
		switch {
		case ev.Kv.ModRevision > revision:
			return rows
		case ev.Type == mvccpb.Event_DELETE:
			delete(rows, string(ev.Kv.Key))
		default:
			rows[string(ev.Kv.Key)] = ev.Kv
		}
	}
	return rows
}

// within reports whether key lies in [from, to), as etcd writes it: no end is one key, "\0" no upper bound.
func within(key, from, to []byte) bool {
	switch {
	case len(to) == 0:
		return bytes.Equal(key, from)
	case len(to) == 1 && to[0] == 0:
		return bytes.Compare(key, from) >= 0
	}
	return bytes.Compare(key, from) >= 0 && bytes.Compare(key, to) < 0
}

// Put implements etcdserverpb.KVServer.
func (e *etcd) Put(ctx context.Context, r *etcdserverpb.PutRequest) (*etcdserverpb.PutResponse, error) {
	answers, err := e.run(&etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestPut{RequestPut: r}})
	if err != nil {
		return nil, err
	}
	return answers[0].GetResponsePut(), nil
}

// DeleteRange implements etcdserverpb.KVServer.
func (e *etcd) DeleteRange(_ context.Context, r *etcdserverpb.DeleteRangeRequest) (*etcdserverpb.DeleteRangeResponse, error) {
	answers, err := e.run(&etcdserverpb.RequestOp{Request: &etcdserverpb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}})
	if err != nil {
		return nil, err
	}
	return answers[0].GetResponseDeleteRange(), nil
}

// run makes one operation a transaction.
func (e *etcd) run(op *etcdserverpb.RequestOp) ([]*etcdserverpb.ResponseOp, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.apply([]*etcdserverpb.RequestOp{op})
}

// Txn implements etcdserverpb.KVServer.
func (e *etcd) Txn(_ context.Context, r *etcdserverpb.TxnRequest) (*etcdserverpb.TxnResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	holds := !slices.ContainsFunc(r.Compare, func(c *etcdserverpb.Compare) bool { return !e.holds(c) })
	ops := r.Success
	if !holds {
		ops = r.Failure
	}
	answers, err := e.apply(ops)
	if err != nil {
		return nil, err
	}
	return &etcdserverpb.TxnResponse{Header: e.header(), Succeeded: holds, Responses: answers}, nil
}

func (e *etcd) holds(c *etcdserverpb.Compare) bool {
	kv := e.rows[string(c.Key)]
	if kv == nil {
		kv = &mvccpb.KeyValue{}
	}
	by := 0
	switch c.Target {
	case etcdserverpb.Compare_VERSION:
		by = cmp.Compare(kv.Version, c.GetVersion())
	case etcdserverpb.Compare_CREATE:
		by = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case etcdserverpb.Compare_MOD:
		by = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case etcdserverpb.Compare_VALUE:
		by = bytes.Compare(kv.Value, c.GetValue())
	case etcdserverpb.Compare_LEASE:
		by = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case etcdserverpb.Compare_EQUAL:
		return by == 0
	case etcdserverpb.Compare_GREATER:
		return by > 0
	case etcdserverpb.Compare_LESS:
		return by < 0
	}
	return by != 0
}

// apply runs the operations of one transaction; its events have one revision.
func (e *etcd) apply(ops []*etcdserverpb.RequestOp) ([]*etcdserverpb.ResponseOp, error) {
	for _, op := range ops {
		if put := op.GetRequestPut(); put != nil && put.Lease != 0 && e.leases[put.Lease] == nil {
			return nil, rpctypes.ErrGRPCLeaseNotFound
		}
	}
	var answers []*etcdserverpb.ResponseOp
	next, before := e.revision+1, len(e.log)
	for _, op := range ops {
		switch r := op.Request.(type) {
		case *etcdserverpb.RequestOp_RequestRange:
			got, err := e.read(r.RequestRange)
			if err != nil {
				return nil, err
			}
			answers = append(answers, &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseRange{ResponseRange: got}})
		case *etcdserverpb.RequestOp_RequestPut:
			e.put(r.RequestPut, next)
			answers = append(answers, &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponsePut{
				ResponsePut: &etcdserverpb.PutResponse{Header: e.header()},
			}})
		case *etcdserverpb.RequestOp_RequestDeleteRange:
			deleted := e.remove(next, func(kv *mvccpb.KeyValue) bool {
				return within(kv.Key, r.RequestDeleteRange.Key, r.RequestDeleteRange.RangeEnd)
			})
			answers = append(answers, &etcdserverpb.ResponseOp{Response: &etcdserverpb.ResponseOp_ResponseDeleteRange{
				ResponseDeleteRange: &etcdserverpb.DeleteRangeResponse{Header: e.header(), Deleted: deleted},
			}})
		}
	}
	if len(e.log) > before {
		e.revision = next
		close(e.changed)
		e.changed = make(chan struct{})
	}
	for _, a := range answers { // the revision that the transaction made
		if put := a.GetResponsePut(); put != nil {
			put.Header = e.header()
		} else if del := a.GetResponseDeleteRange(); del != nil {
			del.Header = e.header()
		}
	}
	return answers, nil
}

func (e *etcd) put(r *etcdserverpb.PutRequest, revision int64) {
	kv := &mvccpb.KeyValue{Key: r.Key, Value: r.Value, CreateRevision: revision, ModRevision: revision, Version: 1, Lease: r.Lease}
	if old := e.rows[string(r.Key)]; old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	}
	e.rows[string(r.Key)] = kv
	e.log = append(e.log, &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv})
}

func (e *etcd) remove(revision int64, gone func(*mvccpb.KeyValue) bool) (count int64) {
	var keys []string
	for key, kv := range e.rows {
		if gone(kv) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		delete(e.rows, key)
		e.log = append(e.log, &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision}})
	}
	return int64(len(keys))
}

// watcher is one of a stream's watches.
type watcher struct {
	id       int64
	from, to []byte
	next     int // of the log
}

// Watch implements etcdserverpb.WatchServer.
func (e *etcd) Watch(stream grpc.BidiStreamingServer[etcdserverpb.WatchRequest, etcdserverpb.WatchResponse]) error {
	requests := make(chan *etcdserverpb.WatchRequest)
	ended := make(chan error, 1)
	go func() { // ends with the stream
		for {
			r, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case requests <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	var all []*watcher
	last := int64(0)
	for {
		e.mu.Lock()
		changed := e.changed
		var answers []*etcdserverpb.WatchResponse
		for _, w := range all {
			if a := e.news(w); a != nil {
				answers = append(answers, a)
			}
		}
		e.mu.Unlock()
		for _, a := range answers {
			if err := stream.Send(a); err != nil {
				return err
			}
		}
		select {
		case err := <-ended:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-changed:
		case r := <-requests:
			if c := r.GetCreateRequest(); c != nil {
				last++
				w, answer := e.begin(c, last)
				all = append(all, w)
				if err := stream.Send(answer); err != nil {
					return err
				}
			} else if c := r.GetCancelRequest(); c != nil {
				all = slices.DeleteFunc(all, func(w *watcher) bool { return w.id == c.WatchId })
				if err := stream.Send(&etcdserverpb.WatchResponse{Header: e.lockedHeader(), WatchId: c.WatchId, Canceled: true}); err != nil {
					return err
				}
			} else if err := stream.Send(&etcdserverpb.WatchResponse{Header: e.lockedHeader(), WatchId: -1}); err != nil { // progress
				return err
			}
		}
	}
}

func (e *etcd) lockedHeader() *etcdserverpb.ResponseHeader {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.header()
}

func (e *etcd) begin(r *etcdserverpb.WatchCreateRequest, id int64) (*watcher, *etcdserverpb.WatchResponse) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := r.StartRevision
	if from == 0 {
		from = e.revision + 1
	}
	next, _ := slices.BinarySearchFunc(e.log, from, func(ev *mvccpb.Event, rev int64) int { return cmp.Compare(ev.Kv.ModRevision, rev) })
	return &watcher{id: id, from: r.Key, to: r.RangeEnd, next: next},
		&etcdserverpb.WatchResponse{Header: e.header(), WatchId: id, Created: true}
}

// news is what w has not been told yet; nil if there is nothing.
func (e *etcd) news(w *watcher) *etcdserverpb.WatchResponse {
	var events []*mvccpb.Event
	for ; w.next < len(e.log); w.next++ {
		if ev := e.log[w.next]; within(ev.Kv.Key, w.from, w.to) {
			events = append(events, ev)
		}
	}
	if len(events) == 0 {
		return nil
	}
	return &etcdserverpb.WatchResponse{Header: e.header(), WatchId: w.id, Events: events}
}

// first is the value of the oldest row whose key has part in it: of those who stand for election, who is elected.
func (e *etcd) first(part string) (value string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	least := int64(math.MaxInt64)
	for key, kv := range e.rows {
		if strings.Contains(key, part) && kv.CreateRevision < least {
			value, least = string(kv.Value), kv.CreateRevision
		}
	}
	return value
}

// LeaseGrant implements etcdserverpb.LeaseServer.
func (e *etcd) LeaseGrant(_ context.Context, r *etcdserverpb.LeaseGrantRequest) (*etcdserverpb.LeaseGrantResponse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := r.ID
	if id == 0 {
		e.lastLease++
		id = e.lastLease
	}
	l := &lease{ttl: time.Duration(r.TTL) * time.Second}
	l.expiry = time.AfterFunc(l.ttl, func() { e.lapse(id) })
	e.leases[id] = l
	return &etcdserverpb.LeaseGrantResponse{Header: e.header(), ID: id, TTL: r.TTL}, nil
}

// lapse ends a lease, and with it the rows under it.
func (e *etcd) lapse(id int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.leases[id]
	if l == nil {
		return false
	}
	l.expiry.Stop()
	delete(e.leases, id)
	if e.remove(e.revision+1, func(kv *mvccpb.KeyValue) bool { return kv.Lease == id }) > 0 {
		e.revision++
		close(e.changed)
		e.changed = make(chan struct{})
	}
	return true
}

// LeaseRevoke implements etcdserverpb.LeaseServer.
func (e *etcd) LeaseRevoke(_ context.Context, r *etcdserverpb.LeaseRevokeRequest) (*etcdserverpb.LeaseRevokeResponse, error) {
	if !e.lapse(r.ID) {
		return nil, rpctypes.ErrGRPCLeaseNotFound
	}
	return &etcdserverpb.LeaseRevokeResponse{Header: e.lockedHeader()}, nil
}

// LeaseKeepAlive implements etcdserverpb.LeaseServer.
func (e *etcd) LeaseKeepAlive(stream grpc.BidiStreamingServer[etcdserverpb.LeaseKeepAliveRequest, etcdserverpb.LeaseKeepAliveResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := stream.Send(e.keep(r.ID)); err != nil {
			return err
		}
	}
}

// keep lets a lease begin anew; one that is gone has no time left.
func (e *etcd) keep(id int64) *etcdserverpb.LeaseKeepAliveResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	answer := &etcdserverpb.LeaseKeepAliveResponse{Header: e.header(), ID: id}
	if l := e.leases[id]; l != nil && l.expiry.Reset(l.ttl) {
		answer.TTL = int64(l.ttl / time.Second)
	}
	return answer
}
