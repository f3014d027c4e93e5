package object

import (
	"crypto/md5"
	"hash"
	"sync"
	"time"

	md5simd "github.com/minio/md5-simd"
)

const (
	// md5Lanes bounds the hashers of one md5-simd server. It has 16 lanes and 48 buffers of its own, of which a
	// hasher may hold one without waking the server: more hashers than lanes gain nothing and could wait for ever.
	md5Lanes = md5simd.Lanes
	// lanesFrom is how many bodies must be active, the new one included, for it to take a lane. A lane costs a
	// tenth more than crypto/md5 while it is the only one, and a quarter with 16 (BenchmarkMD5); the first of
	// several bodies cannot know what comes, those after it can.
	lanesFrom = 2
	// laneBlock is what one lane takes at a time: md5-simd's own block.
	laneBlock = 32 << 10
	// gatherFrom is from how many lanes on it pays to wait for company: fewer are computed one by one.
	gatherFrom = 3
	// gatherWait is how long the first piece waits for those of the other lanes. The server takes what is there
	// and computes 16 lanes in the time of three, so to begin with one costs more than to wait.
	gatherWait = 200 * time.Microsecond
)

// md5Pool lends MD5 hashers: lanes of one shared md5-simd server while several bodies are active,
// crypto/md5 otherwise. Hashers of the server are reset and kept, never closed: it forgets none.
type md5Pool struct {
	mu     sync.Mutex
	server md5simd.Server
	jobs   chan laneJob
	ended  chan struct{}
	free   []md5simd.Hasher
	made   int
	active int // bodies
}

// laneJob is a piece of a body for its lane. There is one at a time for each lane.
type laneJob struct {
	h    hash.Hash
	p    []byte
	done *sync.WaitGroup // p is not read any more
}

// get lends a hasher. If it is a lane, it is written to through jobs, which is not nil then.
func (p *md5Pool) get() (h hash.Hash, jobs chan<- laneJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active++
	if p.active < lanesFrom {
		return md5.New(), nil
	}
	if n := len(p.free); n > 0 {
		l := p.free[n-1]
		p.free = p.free[:n-1]
		return l, p.jobs
	}
	if p.made == md5Lanes {
		return md5.New(), nil
	}
	if p.server == nil {
		p.server = md5simd.NewServer()
		p.jobs, p.ended = make(chan laneJob, md5Lanes), make(chan struct{})
		go p.run(p.jobs)
	}
	p.made++
	return p.server.NewHash(), p.jobs
}

// put takes a hasher back. It may be in any state, but no job of it is under way; summed tells that its Sum was asked for last.
//
// A lane's reset waits in its queue of three, and does not wake the server: that of the next write or sum does. Bodies that end
// before they were written to would fill the queue with resets, and the write after them wait for ever, and with it all bodies.
func (p *md5Pool) put(h hash.Hash, lane, summed bool) {
	if lane {
		if !summed {
			h.Sum(nil) // empties the queue
		}
		h.Reset()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	if lane {
		p.free = append(p.free, h.(md5simd.Hasher))
	}
}

// lent is how many lanes are out.
func (p *md5Pool) lent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made - len(p.free)
}

// run hands pieces to the server, a block of each lane in turn, so that its lanes are full together.
func (p *md5Pool) run(jobs <-chan laneJob) {
	defer close(p.ended)
	row := make([]laneJob, 0, md5Lanes)
	timer := time.NewTimer(gatherWait)
	for job := range jobs {
		row = p.gather(append(row, job), jobs, timer)
		for len(row) > 0 {
			row = join(feed(row), jobs)
		}
	}
}

// gather waits a little for the other lanes.
func (p *md5Pool) gather(row []laneJob, jobs <-chan laneJob, timer *time.Timer) []laneJob {
	want := p.lent()
	if want < gatherFrom {
		return row
	}
	timer.Reset(gatherWait)
	for len(row) < want {
		select {
		case job, ok := <-jobs:
			if !ok {
				return row
			}
			row = append(row, job)
		case <-timer.C:
			return row
		}
	}
	return row
}

// feed writes one block of each piece and returns those that have more.
func feed(row []laneJob) []laneJob {
	left := row[:0]
	for _, job := range row {
		n := min(len(job.p), laneBlock)
		job.h.Write(job.p[:n])
		if job.p = job.p[n:]; len(job.p) > 0 {
			left = append(left, job)
			continue
		}
		job.done.Done()
	}
	return left
}

// join adds the pieces that wait already.
func join(row []laneJob, jobs <-chan laneJob) []laneJob {
	for len(row) < md5Lanes {
		select {
		case job, ok := <-jobs:
			if !ok {
				return row
			}
			row = append(row, job)
		default:
			return row
		}
	}
	return row
}

// close ends the goroutines. No hasher is lent any more.
func (p *md5Pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return
	}
	close(p.jobs)
	<-p.ended
	for _, h := range p.free {
		h.Close()
	}
	p.server.Close()
	p.free, p.server = nil, nil
}
