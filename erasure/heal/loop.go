package heal

import (
	"context"
	"sync"
	"time"
)

// loop does something when it is woken, and every tick.
type loop struct {
	wake   chan struct{}
	mu     sync.Mutex
	active bool
	last   error
}

func (l *loop) init() { l.wake = make(chan struct{}, 1) }

func (l *loop) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run calls pass again and again; an error of it is kept for the status, and tried again at the next tick.
func (l *loop) run(ctx context.Context, tick time.Duration, pass func(context.Context) error) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		l.note(true, nil)
		err := pass(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.note(false, err)
		select {
		case <-l.wake:
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *loop) note(active bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = active
	if !active {
		l.last = err
	}
}

func (l *loop) state() (active bool, last error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active, l.last
}

// gate holds workers while it is closed. The zero gate is open.
type gate struct {
	mu     sync.Mutex
	closed chan struct{} // nil: open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

func (g *gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed != nil
}

// pass waits while the gate is closed.
func (g *gate) pass(ctx context.Context) error {
	for {
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed == nil {
			return ctx.Err()
		}
		select {
		case <-closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pacer lets rate units a second pass, and bursts of a second's worth.
type pacer struct {
	rate int64
	mu   sync.Mutex
	next time.Time // when what was granted so far is used up
}

// wait takes n units and sleeps as long as they are not there.
func (p *pacer) wait(ctx context.Context, n int64) error {
	p.mu.Lock()
	now := time.Now()
	if burst := now.Add(-time.Second); p.next.Before(burst) {
		p.next = burst
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	pause := p.next.Sub(now)
	p.mu.Unlock()
	return sleep(ctx, pause)
}

// meter counts work and how fast it goes, over the last minute or so.
type meter struct {
	mu         sync.Mutex
	slots      [12]int64 // of five seconds each
	slot       int64     // number of the newest
	now        func() time.Time
	sinceStart time.Time
}

const meterSlot = 5 * time.Second

func (m *meter) time() time.Time {
	if m.now != nil {
		return m.now()
	}
	return time.Now()
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	m.slots[m.slot%int64(len(m.slots))] += n
}

// rate is units a second.
func (m *meter) rate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	var sum int64
	for _, n := range m.slots {
		sum += n
	}
	window := min(m.time().Sub(m.sinceStart), time.Duration(len(m.slots))*meterSlot)
	return float64(sum) / max(window.Seconds(), 1)
}

func (m *meter) advance() {
	now := m.time()
	slot := now.UnixNano() / int64(meterSlot)
	if m.sinceStart.IsZero() || slot-m.slot >= int64(len(m.slots)) {
		m.slots, m.slot, m.sinceStart = [12]int64{}, slot, now
	}
	for ; m.slot < slot; m.slot++ {
		m.slots[(m.slot+1)%int64(len(m.slots))] = 0
	}
}
