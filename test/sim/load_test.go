package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// load is clients at work.
type load struct {
	c    *cluster
	cl   *client
	h    *history
	keys []string
	stop context.CancelFunc
	done sync.WaitGroup
	easy atomic.Bool // clients think longer: minutes go by

	mu     sync.Mutex
	wrong  []error
	latest map[string]body // that a client saw, for conditions
	more   []string        // keys of the scenes, which are theirs alone
}

const (
	clients   = 4
	keyCount  = 10
	thinksMax = 400 * time.Millisecond
)

// startLoad has clients ask all nodes for this and that until stop.
func startLoad(c *cluster, cl *client, seed uint64) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{c: c, cl: cl, h: newHistory(), stop: cancel, latest: map[string]body{}}
	for i := range keyCount {
		l.keys = append(l.keys, fmt.Sprintf("%c/key%d", 'a'+rune(i%3), i))
	}
	for id := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(100+id)))
		l.done.Go(func() {
			for ctx.Err() == nil {
				most := thinksMax
				if c.dark.Load() {
					most = time.Minute
				} else {
					l.ask(id, rng)
				}
				if l.easy.Load() {
					most *= 25
				}
				pause(ctx, time.Duration(rng.Int64N(int64(most))))
			}
		})
	}
	return l
}

// end waits for the last answers.
func (l *load) end() {
	l.stop()
	l.done.Wait()
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, err)
}

// freshKey is a key that nobody uses but a scene.
func (l *load) freshKey() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := fmt.Sprintf("%c/scene%d", 'a'+rune(len(l.more)%3), len(l.more))
	l.more = append(l.more, key)
	return key
}

// report tells the test what was wrong.
func (l *load) report() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.wrong {
		l.c.t.Error(err)
	}
}

func (l *load) saw(key string, b body) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest[key] = b
}

func (l *load) lately(key string) body {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest[key]
}

// ask is one request of a client to some node, be it up or not.
func (l *load) ask(id int, rng *rand.Rand) {
	node := l.c.nodes[rng.IntN(len(l.c.nodes))].machine.name
	in := input{key: l.keys[rng.IntN(len(l.keys))]}
	switch dice := rng.IntN(100); {
	case dice < 35:
		l.get(l.cl, id, node, in.key)
		return
	case dice < 42:
		l.list(id, node)
		return
	case dice < 52:
		in.kind = remove
	case dice < 60:
		in.kind = putIfAbsent
	case dice < 70:
		in.kind, in.expect = putIfMatch, l.lately(in.key)
	default:
		in.kind = put
	}
	if in.kind == putIfMatch && in.expect == 0 {
		in.kind = put
	}
	l.change(l.cl, id, node, in, anySize)
}

// change asks for what in says; a put is of a new body. It returns nil if it was done.
func (l *load) change(cl *client, id int, node string, in input, fits func(size int) bool) error {
	header := map[string]string{}
	var content []byte
	method := http.MethodPut
	switch in.kind {
	case remove:
		method = http.MethodDelete
	case putIfAbsent:
		header["If-None-Match"] = "*"
	case putIfMatch:
		header["If-Match"] = in.expect.etag()
	}
	if method == http.MethodPut {
		in.body, content = l.h.fresh(fits)
	}
	call := l.h.now()
	_, _, err := cl.do(node, method, escaped(in.key), "", content, header)
	out := output{}
	switch status := statusOf(err); {
	case err == nil:
		l.saw(in.key, in.body)
	case status == http.StatusPreconditionFailed, status == http.StatusNotFound && in.kind == putIfMatch:
		out.refused = true
	case status >= 400 && status < 500 && status != http.StatusConflict && status != http.StatusRequestTimeout:
		l.fail(fmt.Errorf("%v of %s by %s: %w", in.kind, in.key, node, err))
		out.unknown = true
	default:
		out.unknown = true
	}
	l.h.note(id, in, call, out)
	return err
}

func (l *load) get(cl *client, id int, node, key string) {
	call := l.h.now()
	out, err := l.read(cl, node, key)
	if err == nil {
		l.saw(key, out.body)
	}
	l.h.note(id, input{kind: get, key: key}, call, out)
}

// read gets an object. The error says that there was no answer.
func (l *load) read(cl *client, node, key string) (out output, err error) {
	_, got, err := cl.do(node, http.MethodGet, escaped(key), "", nil, nil)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return output{}, nil
	case err != nil:
		return output{unknown: true}, err
	}
	if out.body, err = bodyOf(got); err != nil {
		l.fail(fmt.Errorf("get of %s by %s: %w", key, node, err))
		return output{unknown: true}, err
	}
	return out, nil
}

// list reads the bucket page by page: within a page's span each key is read.
func (l *load) list(id int, node string) {
	for token, after := "", ""; ; {
		call := l.h.now()
		page, err := l.cl.list(node, token)
		if err != nil {
			return
		}
		shown := map[string]string{}
		last := ""
		for _, o := range page.Contents {
			shown[o.Key], last = o.ETag, o.Key
		}
		for _, key := range l.keys {
			if key <= after || page.Next != "" && key > last {
				continue
			}
			out := output{}
			if etag, ok := shown[key]; ok {
				if out.body = l.h.tagged(etag); out.body == 0 {
					l.fail(fmt.Errorf("listing by %s: %s has the tag %s, which nothing has that was written", node, key, etag))
				}
			}
			l.h.note(id, input{kind: get, key: key}, call, out)
		}
		if page.Next == "" {
			return
		}
		token, after = page.Next, last
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
