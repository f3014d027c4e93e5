package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Run prepares what cfg's operation needs, measures it, and deletes what it stored. note is told of each
// phase; nil is allowed. Requests that fail while measuring are counted in the report; those that fail
// before or after are an error. A cancelled ctx ends the run early, with the report so far.
func Run(ctx context.Context, cfg Config, note func(string)) (Report, error) {
	if err := cfg.validate(); err != nil {
		return Report{}, err
	}
	r, err := newRun(cfg, note)
	if err != nil {
		return Report{}, err
	}
	if err := r.prepare(ctx); err != nil {
		return Report{}, fmt.Errorf("preparing: %w", err)
	}
	rep, err := r.measure(ctx)
	if err == nil && !cfg.Keep {
		r.note("cleaning up")
		err = r.cleanUp()
	}
	return rep, err
}

// run is one run's state.
type run struct {
	cfg     *Config
	ring    *Ring
	to      *target
	workers []*worker
	note    func(string)
	made    bool // the bucket
}

func newRun(cfg Config, note func(string)) (*run, error) {
	to, err := newTarget(cfg.Endpoint, cfg.Timeout, cfg.Insecure)
	if err != nil {
		return nil, err
	}
	if note == nil {
		note = func(string) {}
	}
	r := &run{cfg: &cfg, ring: NewRing(cfg.Seed), to: to, note: note}
	for id := range cfg.Concurrency {
		r.workers = append(r.workers, newWorker(r.cfg, r.ring, to, id))
	}
	return r, nil
}

// each runs fn for all workers at once and returns what went wrong.
func (r *run) each(fn func(*worker) error) error {
	errs := make([]error, len(r.workers))
	var wg sync.WaitGroup
	for i, w := range r.workers {
		wg.Go(func() { errs[i] = fn(w) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// prepare makes the bucket and the objects, and leaves the workers' counts empty.
func (r *run) prepare(ctx context.Context) error {
	if err := r.createBucket(); err != nil {
		return err
	}
	size := r.cfg.Size
	if r.cfg.Op == "multipart" {
		size = min(r.cfg.PartSize, size)
		r.ring.Warm(max(0, r.cfg.Size%r.cfg.PartSize))
	}
	r.ring.Warm(size)
	var err error
	switch r.cfg.Op {
	case "get", "head", "delete", "mixed":
		r.note(fmt.Sprintf("storing %d objects of %s", r.cfg.Objects, sizeName(r.cfg.Size)))
		err = r.each(func(w *worker) error { return w.store(ctx, share(r.cfg.Objects, len(r.workers), w.id)) })
	case "list":
		r.note(fmt.Sprintf("storing %d objects of %s under %d prefixes", r.cfg.keysPerPrefix()*r.cfg.Prefixes, sizeName(r.cfg.Size), r.cfg.Prefixes))
		err = r.each(func(w *worker) error { return w.storeListed(ctx, len(r.workers)) })
	}
	if err != nil {
		return err
	}
	for _, w := range r.workers {
		w.stats = [kinds]kindStats{}
	}
	return settle(ctx, r.cfg.ServerPID)
}

// share is how many of n the id-th of count gets.
func share(n, count, id int) int { return n*(id+1)/count - n*id/count }

func (w *worker) store(ctx context.Context, n int) error {
	for range n {
		o := w.fresh(w.cfg.Size)
		if err := firstOf(ctx.Err(), func() error { return w.put(o) }); err != nil {
			return err
		}
		w.live = append(w.live, o)
	}
	return nil
}

func firstOf(err error, fn func() error) error {
	if err != nil {
		return err
	}
	return fn()
}

func (w *worker) storeListed(ctx context.Context, workers int) error {
	per := w.cfg.keysPerPrefix()
	for n := w.id; n < per*w.cfg.Prefixes; n += workers {
		key := string(w.cfg.appendListKey(nil, n/per, n%per))
		o := object{key: key, seed: w.cfg.Seed ^ uint64(n), size: w.cfg.Size}
		if err := firstOf(ctx.Err(), func() error { return w.put(o) }); err != nil {
			return err
		}
		w.live = append(w.live, o)
	}
	return nil
}

func (r *run) createBucket() error {
	w := r.workers[0]
	_, err := w.request(Put, &request{method: "PUT", path: "/" + r.cfg.Bucket}, nil, nil)
	switch CodeOf(err) {
	case "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
		return nil
	}
	r.made = err == nil
	return err
}

// measure runs the operation for the set time.
func (r *run) measure(ctx context.Context) (Report, error) {
	turn := turns[r.cfg.Op]
	var stop atomic.Bool
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Duration)
	defer cancel()
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	r.note(fmt.Sprintf("measuring %s for up to %s", r.cfg.Op, r.cfg.Duration))

	server, err := r.serverCPU()
	if err != nil {
		return Report{}, err
	}
	start, client := time.Now(), ownCPU()
	r.each(func(w *worker) error { w.loop(&stop, turn); return nil })
	took := time.Since(start)
	spent := cost{client: ownCPU() - client}
	after, err := r.serverCPU()
	spent.server = after - server
	return report(r.cfg, r.workers, took, spent), err
}

func (r *run) serverCPU() (time.Duration, error) {
	if r.cfg.ServerPID == 0 {
		return 0, nil
	}
	return TreeCPU(r.cfg.ServerPID)
}

// turns are one request, or a few that belong together, of each operation.
var turns = map[string]func(*worker) (more bool){
	"put": func(w *worker) bool { w.putFresh(); return true },
	"get": func(w *worker) bool { w.get(w.any()); return true },
	"head": func(w *worker) bool {
		w.head(w.any())
		return true
	},
	"list": func(w *worker) bool {
		var l listing
		w.listPrefix((w.id+int(w.turns))%w.cfg.Prefixes, &l)
		w.turns++
		return true
	},
	"delete": func(w *worker) bool { w.deleteSome(); return len(w.live) > 0 },
	"multipart": func(w *worker) bool {
		o := w.fresh(w.cfg.Size)
		w.live = append(w.live, o) // also after a failure: it may be there
		w.multipart(o)
		return true
	},
	"mixed": func(w *worker) bool { w.mixed(); return true },
}

// any is one of w's objects.
func (w *worker) any() object { return w.live[rand.IntN(len(w.live))] }

func (w *worker) putFresh() {
	o := w.fresh(w.cfg.Size)
	w.live = append(w.live, o) // also after a failure: it may be there
	w.put(o)
}

func (w *worker) deleteSome() error {
	n := min(w.cfg.Batch, len(w.live))
	gone := w.live[len(w.live)-n:]
	w.live = w.live[:len(w.live)-n]
	if n == 0 {
		return nil
	}
	if w.cfg.Batch == 1 {
		return w.remove(gone[0])
	}
	return w.removeAll(gone)
}

// mixed is 45 % GET, 30 % HEAD, 15 % PUT and 10 % DELETE of the worker's own objects.
func (w *worker) mixed() {
	switch roll := rand.IntN(100); {
	case len(w.live) == 0 || roll < 15:
		o := w.fresh(w.cfg.Size)
		if w.put(o) == nil {
			w.live = append(w.live, o)
		}
	case roll < 25:
		i := rand.IntN(len(w.live))
		o := w.live[i]
		w.live[i] = w.live[len(w.live)-1]
		w.live = w.live[:len(w.live)-1]
		w.remove(o)
	case roll < 55:
		w.head(w.any())
	default:
		w.get(w.any())
	}
}

// cleanUp deletes what is left, and the bucket if the run made it.
func (r *run) cleanUp() error {
	r.cfg.Batch = 1000
	err := r.each(func(w *worker) error {
		defer w.conn.close()
		for len(w.live) > 0 {
			if err := w.deleteSome(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !r.made {
		return err
	}
	w := r.workers[0]
	defer w.conn.close()
	_, err = w.request(Delete, &request{method: "DELETE", path: "/" + r.cfg.Bucket}, nil, nil)
	if CodeOf(err) == "BucketNotEmpty" { // somebody else's objects
		return nil
	}
	return err
}
