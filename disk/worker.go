package disk

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// task is a call into the file system or Pebble that a worker makes.
type task struct {
	run   func()
	undo  func() // when nobody waits for what run made, or run will not run
	state atomic.Int32
	done  chan struct{} // nil: nobody waits
}

const (
	taskWaited  int32 = iota
	taskDone          // run has run
	taskDropped       // run will not run
	taskLeft          // nobody waits any more
)

// do runs f on one of the drive's workers and waits for it. It returns early, with an error, when ctx ends or the drive
// fails; then what f made is not to be looked at nor written, not even by a return to a named result, and undo, if any, runs after f,
// or at once if f will not run.
func (d *Drive) do(ctx context.Context, f, undo func()) error {
	t, _ := d.spare.Get().(*task)
	if t == nil {
		t = &task{done: make(chan struct{}, 1)}
	}
	t.run, t.undo = f, undo
	t.state.Store(taskWaited)
	err := d.enqueue(ctx, t)
	if err != nil {
		if undo != nil {
			undo()
		}
		return err
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		err = ctx.Err()
	case <-d.down:
		err = d.unavailable()
	case <-d.ended:
		err = d.unavailable()
	}
	if err != nil {
		if t.state.CompareAndSwap(taskWaited, taskLeft) {
			return err
		}
		<-t.done // it finished just now
		err = nil
	}
	if t.state.Load() == taskDropped {
		err = d.unavailable()
		if undo != nil {
			undo()
		}
	}
	t.run, t.undo = nil, nil
	d.spare.Put(t)
	return err
}

// async gives f to a worker and does not wait. If it will not run, because the drive failed or was closed meanwhile, undo does. False, and
// neither runs, if the queue is full or the drive is gone.
func (d *Drive) async(f, undo func()) bool {
	d.gate.RLock()
	defer d.gate.RUnlock()
	if d.noTasks {
		return false
	}
	select {
	case d.tasks <- &task{run: f, undo: undo}:
		return true
	default:
		return false
	}
}

// dropTasks ends async, and drops what waits for a worker.
func (d *Drive) dropTasks() {
	d.gate.Lock()
	d.noTasks = true
	d.gate.Unlock()
	for {
		select {
		case t := <-d.tasks:
			if t.done != nil && t.state.CompareAndSwap(taskWaited, taskDropped) {
				t.done <- struct{}{}
			} else if t.undo != nil {
				t.undo()
			}
		default:
			return
		}
	}
}

// enqueue hands t to the workers, waiting for room.
func (d *Drive) enqueue(ctx context.Context, t *task) error {
	select {
	case <-d.closing:
		return d.unavailable()
	case <-d.down:
		return d.unavailable()
	default:
	}
	select {
	case d.tasks <- t:
		return nil
	default:
	}
	select {
	case d.tasks <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.down:
	case <-d.closing:
	}
	return d.unavailable()
}

func (d *Drive) unavailable() error {
	if h := d.Health(); h.State == Failed {
		return fmt.Errorf("%w: %s", ErrUnavailable, h.Reason)
	}
	return fmt.Errorf("%w: closed", ErrUnavailable)
}

// work is a worker's life. After Close it finishes what waits.
func (d *Drive) work(busy *atomic.Int64) {
	defer d.working.Done()
	for {
		select {
		case t := <-d.tasks:
			d.serve(t, busy)
		case <-d.down:
			return
		case <-d.drained:
			for {
				select {
				case t := <-d.tasks:
					d.serve(t, busy)
				default:
					return
				}
			}
		}
	}
}

func (d *Drive) serve(t *task, busy *atomic.Int64) {
	began := time.Now()
	busy.Store(began.UnixNano())
	t.run()
	busy.Store(0)
	if time.Since(began) > d.opt.SlowAfter {
		d.stats.slow.Add(1)
	}
	if t.done == nil {
		return
	}
	if t.state.CompareAndSwap(taskWaited, taskDone) {
		t.done <- struct{}{}
	} else if t.undo != nil {
		t.undo()
	}
}
