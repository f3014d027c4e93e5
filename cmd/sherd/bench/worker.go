package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"sync/atomic"
	"time"
)

// worker is one client: a connection, the objects that are its own, and its counts.
type worker struct {
	cfg   *Config
	ring  *Ring
	id    int
	conn  *conn
	stats [kinds]kindStats

	live  []object // its own, for get, head, delete and mixed
	next  uint64   // number of the next object it makes
	turns uint64

	body    Body
	off     int64 // of the answer's body
	sumHex  [32]byte
	scratch []byte
	path    []byte
	xml     []byte
}

// object is one that the run stored.
type object struct {
	key  string
	seed uint64
	size int64
}

func newWorker(cfg *Config, ring *Ring, to *target, id int) *worker {
	return &worker{cfg: cfg, ring: ring, id: id, conn: newConn(to, cfg.Credentials)}
}

// loop repeats turn until stop is set or turn says that there is no more. A failed request is counted and
// the next one made; after a failed connection a short while later, so that a dead server is not hammered.
func (w *worker) loop(stop *atomic.Bool, turn func(*worker) (more bool)) {
	defer w.conn.close()
	for !stop.Load() && turn(w) {
	}
}

// request does q, and counts it under kind with its time, the bytes and the keys that it moved.
func (w *worker) request(kind Kind, q *request, sink func([]byte) error, check func(response) error) (response, error) {
	start := time.Now()
	res, err := w.conn.do(q, sink)
	if err == nil && check != nil {
		err = check(res)
	}
	s := &w.stats[kind]
	if err != nil {
		code := CodeOf(err)
		s.fail(code, 1)
		if code == CodeConnection {
			time.Sleep(w.cfg.Backoff)
		}
		return res, err
	}
	s.hist.Record(time.Since(start))
	return res, nil
}

// fresh names an object that no other worker or run makes.
func (w *worker) fresh(size int64) object {
	n := w.next
	w.next++
	b := append(w.scratch[:0], w.cfg.Prefix...)
	b = strconv.AppendInt(b, int64(w.id), 10)
	b = append(b, '/')
	b = appendPadded(b, n, 9)
	w.scratch = b
	return object{key: string(b), seed: w.cfg.Seed ^ uint64(w.id)<<40 ^ n, size: size}
}

func appendPadded(b []byte, n uint64, digits int) []byte {
	var d [20]byte
	s := strconv.AppendUint(d[:0], n, 10)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}

func (w *worker) pathOf(key string) string {
	w.path = append(append(append(append(w.path[:0], '/'), w.cfg.Bucket...), '/'), key...)
	return string(w.path)
}

func (w *worker) put(o object) error {
	w.body = w.ring.Body(o.seed, o.size)
	q := request{method: "PUT", path: w.pathOf(o.key), body: &w.body, unsigned: w.cfg.Unsigned}
	_, err := w.request(Put, &q, nil, w.checkETag)
	if err == nil {
		w.stats[Put].bytes += o.size
	}
	return err
}

// checkETag compares an answer's ETag with the MD5 of w.body.
func (w *worker) checkETag(res response) error {
	if !w.cfg.Verify || len(res.etag) != 32 {
		return nil
	}
	if !bytes.Equal(res.etag, hex.AppendEncode(w.sumHex[:0], w.conn.hash.MD5(&w.body))) {
		return wrong(CodeWrongETag)
	}
	return nil
}

func (w *worker) get(o object) error {
	w.body, w.off = w.ring.Body(o.seed, o.size), 0
	q := request{method: "GET", path: w.pathOf(o.key)}
	_, err := w.request(Get, &q, w.compare, w.checkWhole)
	if err == nil {
		w.stats[Get].bytes += o.size
	}
	return err
}

// compare takes the next bytes of w.body as they were read.
func (w *worker) compare(p []byte) error {
	if w.cfg.Verify && !w.body.Matches(w.off, p) {
		return wrong(CodeWrongBytes)
	}
	w.off += int64(len(p))
	return nil
}

func (w *worker) checkWhole(res response) error {
	if w.off != w.body.Size {
		return wrong(CodeWrongLength)
	}
	return w.checkETag(res)
}

func (w *worker) head(o object) error {
	w.body = w.ring.Body(o.seed, o.size)
	q := request{method: "HEAD", path: w.pathOf(o.key)}
	_, err := w.request(Head, &q, nil, func(res response) error {
		if res.length != w.body.Size {
			return wrong(CodeWrongLength)
		}
		return w.checkETag(res)
	})
	return err
}

func (w *worker) remove(o object) error {
	q := request{method: "DELETE", path: w.pathOf(o.key)}
	_, err := w.request(Delete, &q, nil, nil)
	if err == nil {
		w.stats[Delete].keys++
	}
	return err
}

// removeAll deletes objects, at most 1,000, by one DeleteObjects. Each key's own error counts.
func (w *worker) removeAll(objects []object) error {
	b := append(w.xml[:0], "<Delete><Quiet>true</Quiet>"...)
	for _, o := range objects {
		b = append(append(append(b, "<Object><Key>"...), o.key...), "</Key></Object>"...)
	}
	b = append(b, "</Delete>"...)
	w.xml = b
	q := request{method: "POST", path: "/" + w.cfg.Bucket, query: "delete=", payload: b, extra: contentMD5(b)}
	failed := int64(0)
	_, err := w.request(Delete, &q, func(p []byte) error {
		if bytes.Contains(p, []byte("<Error>")) {
			failed = int64(bytes.Count(p, []byte("<Error>")))
			w.stats[Delete].fail(errorCode(200, p), failed)
		}
		return nil
	}, nil)
	if err == nil {
		w.stats[Delete].keys += int64(len(objects)) - failed
	}
	return err
}

func contentMD5(b []byte) []byte {
	h := append([]byte("Content-MD5: "), base64.StdEncoding.EncodeToString(md5Sum(b))...)
	return append(h, "\r\n"...)
}
