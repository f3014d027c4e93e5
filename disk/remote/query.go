package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// query is one request on its way through the server.
type query struct {
	peer *peer
	header
	payload *bufpool.Buf // of the request
	lent    int64        // of the server's budget
	of      *disk.Drive  // which answers
	about   *group       // nil: the request is of no PG
}

// lend takes bytes out of the server's budget, and waits for them. What needs none waits for nobody (I12): a semaphore would have it stand
// behind those that do.
func (q *query) lend(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	bytes = min(bytes, q.peer.s.opt.Budget)
	if err := q.peer.s.budget.Acquire(q.peer.ctx, bytes); err != nil {
		return err
	}
	q.lent += bytes
	return nil
}

// settle gives back what was lent.
func (q *query) settle() {
	q.payload.Release()
	q.peer.s.budget.Release(q.lent)
	q.payload, q.lent = nil, 0
}

// serve answers the request, or has it answered.
func (q *query) serve() {
	drive := q.peer.s.opt.Drive(q.drive)
	q.of = drive
	switch {
	case q.op == opStat:
		q.stat()
	case q.op == opAbort, q.op == opCloseReader: // whether or not the drive is still here
		_ = q.closeHandle() // nobody waits for a reply
		q.silent()
	case drive == nil:
		q.answer(nil, nil, fmt.Errorf("%w: it is not in service on this node", disk.ErrUnavailable))
	case q.op == opPut:
		q.put(drive)
	case q.op == opDelete:
		q.delete(drive)
	default:
		ctx, cancel := context.WithTimeout(q.peer.ctx, time.Duration(q.millis)*time.Millisecond)
		defer cancel()
		args, payload, err := q.call(ctx, drive)
		q.answer(args, payload, err)
	}
}

// answer sends the reply, and gives back what the request had. It does not block.
func (q *query) answer(args []byte, payload *bufpool.Buf, err error) {
	f := frame{op: q.op, id: q.id, args: args}
	if err != nil {
		f.status, f.args = statusOf(err)
	}
	if payload != nil {
		f.payload = [][]byte{payload.B}
	}
	if q.about != nil { // I5: whatever the answer is, it is under this epoch
		f.setEpoch(q.of.Epoch(q.about.pool, q.about.pg))
	}
	q.peer.wg.Add(1)
	q.peer.out.send(outgoing{f, func(error) {
		payload.Release()
		q.settle()
		<-q.peer.turns
		q.peer.wg.Done()
	}})
}

// silent ends a request that wants no reply.
func (q *query) silent() {
	q.settle()
	<-q.peer.turns
}

func (q *query) stat() {
	var list []driveStat
	for _, d := range q.peer.s.opt.Drives() {
		list = append(list, driveStat{d.ID(), d.Health(), d.Space()})
	}
	b, err := json.Marshal(list)
	q.answerBytes(b, err)
}

// answerBytes is answer with a payload that is not of the pool yet.
func (q *query) answerBytes(b []byte, err error) {
	payload, err := q.pooled(b, err)
	q.answer(nil, payload, err)
}

func (q *query) pooled(b []byte, err error) (*bufpool.Buf, error) {
	if err == nil && len(b) > payloadMax {
		err = fmt.Errorf("%w: an answer of %d bytes", disk.ErrInvalid, len(b))
	}
	if err != nil || len(b) == 0 {
		return nil, err
	}
	buf := q.peer.s.opt.Buffers.Get(len(b))
	copy(buf.B, b)
	return buf, nil
}

func (q *query) put(d *disk.Drive) {
	rec, err := parseArgs(q.args)
	if err != nil {
		q.answer(nil, nil, err)
		return
	}
	q.about = groupOf(rec.Header.Key)
	var units [][]byte
	for rest := bytesOf(q.payload); len(rest) > 0; {
		n := min(len(rest), int(rec.Header.UnitBytes))
		units, rest = append(units, rest[:n]), rest[n:]
	}
	q.peer.wg.Add(1)
	d.Put(rec.Header, units, rec.Footer, func(err error) {
		q.answer(nil, nil, err)
		q.peer.wg.Done()
	})
}

func (q *query) delete(d *disk.Drive) {
	rec, err := chunk.ParseRecord(q.args)
	if err != nil || rec.Kind != chunk.KindTombstone {
		q.answer(nil, nil, fmt.Errorf("%w: keys", disk.ErrInvalid))
		return
	}
	q.peer.wg.Add(1)
	d.Delete(rec.Keys, func(err error) {
		q.answer(appendEpochs(nil, d, rec.Keys), nil, err)
		q.peer.wg.Done()
	})
}

// appendEpochs appends a record of the epochs that d has of the keys' PGs.
func appendEpochs(b []byte, d *disk.Drive, keys []ids.Chunk) []byte {
	var list []chunk.Epoch
	for g := range groupsOf(keys) {
		list = append(list, chunk.Epoch{Pool: g.pool, PG: g.pg, Epoch: d.Epoch(g.pool, g.pg)})
	}
	return chunk.AppendEpochs(b, list...)
}
