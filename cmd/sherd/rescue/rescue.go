package rescue

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Options configures Run.
type Options struct {
	Drives   []string // paths of bare drive directories
	Out      string   // a new directory; unused with List
	Bucket   string   // only this one, by name or bucket-ID; empty: all
	Prefix   string   // only keys that begin with it
	List     bool     // write nothing, only tell what is there
	Unlisted bool     // also what only chunks know of, although rows could be read
	Logger   *slog.Logger
}

// Result counts what Run found.
type Result struct {
	Objects, Bytes int64
	Unlisted       int64 // of them
	Lost           int64 // that could not be put together
}

// Run reads objects out of drives, which are not changed, and tells each of them to each; nil is allowed.
// Errors: what ended it early. Lost objects are counted, not errors.
func Run(ctx context.Context, opt Options, each func(Found)) (Result, error) {
	work, err := os.MkdirTemp(workDir(&opt), "sherd-rescue-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(work)
	r := &run{ctx: ctx, opt: opt, each: each, used: map[ids.Upload]bool{}, name: bucketNames(ctx, opt.Drives)}
	if !opt.List {
		if r.out, err = newOutput(opt.Out); err != nil {
			return Result{}, err
		}
		defer r.out.index.Close()
	}
	r.chunks = scan(opt.Drives, opt.Logger)
	rows := openRows(opt.Drives, work, opt.Logger)
	defer rows.close()
	unread := rows.each(opt.Logger, r.listed)
	if len(rows.held) == 0 {
		opt.Logger.Warn("no rows can be read: going by what chunks say of themselves; deleted objects may come back, small ones are lost")
	}
	if unread == nil && (len(rows.held) == 0 || opt.Unlisted) {
		unread = r.unlisted()
	}
	return r.result, unread
}

// workDir is where rows are copied to: on the first drive's file system links would do, but drives are not written to.
func workDir(opt *Options) string {
	if opt.List {
		return ""
	}
	return filepath.Dir(filepath.Clean(opt.Out))
}

type run struct {
	ctx    context.Context
	opt    Options
	out    *output
	chunks *chunks
	name   func(ids.Bucket) string
	each   func(Found)
	used   map[ids.Upload]bool // bodies that rows refer to
	result Result
}

func (r *run) wanted(bucket, key string) bool {
	return (r.opt.Bucket == "" || r.opt.Bucket == bucket) && strings.HasPrefix(key, r.opt.Prefix)
}

// listed writes an object that the rows have.
func (r *run) listed(rec record) error {
	for _, e := range rec.extents {
		if len(e.Upload) == len(ids.Upload{}) {
			r.used[ids.Upload(e.Upload)] = true
		}
	}
	v := rec.version
	f := Found{
		Bucket: r.name(rec.bucket), Key: rec.key, Size: int64(v.Size), ETag: hex.EncodeToString(v.Md5),
		Modified: hlc.Stamp(v.Ts).Time().Format(time.RFC3339Nano),
	}
	if v.Parts > 0 {
		f.ETag += fmt.Sprintf("-%d", v.Parts)
	}
	for _, h := range v.GetDetails().GetHeaders() {
		if f.Headers == nil {
			f.Headers = map[string]string{}
		}
		f.Headers[h.Name] = h.Value
	}
	if !r.wanted(f.Bucket, f.Key) {
		return nil
	}
	return r.write(f, func(w io.Writer) error {
		sum := md5.New()
		w = io.MultiWriter(w, sum)
		if err := r.body(&rec, w); err != nil {
			return err
		}
		return checkMD5(v, sum)
	})
}

// checkMD5 compares where the record says what the body's is.
func checkMD5(v *metapb.Version, sum hash.Hash) error {
	if v.Parts == 0 && len(v.Md5) == md5.Size && !slices.Equal(sum.Sum(nil), v.Md5) {
		return errors.New("its bytes do not match its ETag")
	}
	return nil
}

func (r *run) body(rec *record, w io.Writer) error {
	if rec.inline != nil {
		_, err := w.Write(rec.inline)
		return err
	}
	for _, e := range rec.extents {
		if err := r.extent(e, w); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) extent(e *metapb.Extent, w io.Writer) error {
	if len(e.Upload) != len(ids.Upload{}) || e.BlobSize == 0 {
		return errors.New("its record is malformed")
	}
	for i, left := 0, int64(e.Size); left > 0; i++ {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if len(e.Pgs) < 2*(i+1) {
			return errors.New("its record names too few placement groups")
		}
		size := min(left, int64(e.BlobSize))
		at := blobKey{ids.Pool(e.Pool), ids.PG(binary.BigEndian.Uint16(e.Pgs[2*i:])), ids.Blob{Upload: ids.Upload(e.Upload), Index: uint32(i)}}
		blob, err := r.chunks.read(at, size)
		if err != nil {
			return err
		}
		if _, err := w.Write(blob); err != nil {
			return err
		}
		left -= size
	}
	return nil
}

// write makes f's file from what body writes, or notes why not.
func (r *run) write(f Found, body func(io.Writer) error) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	dir := f.Bucket
	if f.Unlisted {
		dir = filepath.Join("unlisted", dir)
	}
	var err error
	switch {
	case r.opt.List:
		err = body(io.Discard)
	default:
		var file *os.File
		var path string
		if file, path, err = r.out.create(dir, f.Key); err == nil {
			f.File, err = r.out.finish(file, path, body(file))
		}
	}
	if err != nil {
		f.Problem = err.Error()
		r.result.Lost++
	} else {
		r.result.Objects++
		r.result.Bytes += f.Size
		if f.Unlisted {
			r.result.Unlisted++
		}
	}
	if r.each != nil {
		r.each(f)
	}
	if r.out != nil {
		return r.out.note(f)
	}
	return nil
}

// body of an object that only chunks know of: one upload, or the newest upload of each part.
type orphan struct {
	bucket ids.Bucket
	key    string
	stamp  hlc.Stamp
	parts  map[uint32][]blobKey // by part, blobs by index
	newest map[uint32]bodyAge   // of each part
	sizes  map[blobKey]int64
}

// unlisted writes what no row refers to, as far as chunks say what it is.
func (r *run) unlisted() error {
	type name struct {
		bucket ids.Bucket
		key    string
	}
	all := map[name]*orphan{}
	for at, found := range r.chunks.blobs {
		if r.used[at.blob.Upload] || r.gone(at, found) {
			continue
		}
		s := found[slices.Min(slices.Collect(maps.Keys(found)))][0]
		n := name{s.Header.Bucket, s.Header.Object}
		o := all[n]
		if o == nil {
			o = &orphan{bucket: n.bucket, key: n.key, parts: map[uint32][]blobKey{}, newest: map[uint32]bodyAge{}, sizes: map[blobKey]int64{}}
			all[n] = o
		}
		o.add(at, s.Header.Part, s.Header.Stamp, int64(s.Footer.BlobBytes))
	}
	order := slices.SortedFunc(maps.Keys(all), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), strings.Compare(a.key, b.key))
	})
	for _, n := range order {
		if err := r.writeOrphan(all[n]); err != nil {
			return err
		}
	}
	return nil
}

// gone reports whether most of a blob's chunks were deleted.
func (r *run) gone(at blobKey, found shards) bool {
	tombs := 0
	for slot := range found {
		if r.chunks.deleted[ids.Chunk{Pool: at.pool, PG: at.pg, Blob: at.blob, Slot: slot}] > 0 {
			tombs++
		}
	}
	return 2*tombs > len(found)
}

// bodyAge orders the bodies of one part: by when what is in them was stored, for one that was written anew in another pool is no newer
// than its object; of two with the same bytes the one that was written later.
type bodyAge struct {
	stamp  hlc.Stamp
	upload ids.Upload
}

func (a bodyAge) compare(b bodyAge) int {
	return cmp.Or(cmp.Compare(a.stamp, b.stamp), bytes.Compare(a.upload[:], b.upload[:]))
}

func (o *orphan) add(at blobKey, part uint32, stamp hlc.Stamp, size int64) {
	age := bodyAge{stamp, at.blob.Upload}
	if newest, ok := o.newest[part]; ok && age.compare(newest) < 0 {
		return
	} else if !ok || age.compare(newest) > 0 {
		o.newest[part], o.parts[part] = age, nil
	}
	o.stamp = max(o.stamp, stamp)
	o.parts[part] = append(o.parts[part], at)
	o.sizes[at] = size
}

func (r *run) writeOrphan(o *orphan) error {
	f := Found{Bucket: r.name(o.bucket), Key: o.key, Modified: o.stamp.Time().Format(time.RFC3339Nano), Unlisted: true}
	if !r.wanted(f.Bucket, f.Key) {
		return nil
	}
	// A whole body beats parts that are older than it.
	if whole, ok := o.newest[0]; ok {
		for part, age := range o.newest {
			if part != 0 && age.stamp < whole.stamp {
				delete(o.parts, part)
			}
		}
		if len(o.parts) > 1 {
			delete(o.parts, 0)
		}
	}
	var blobs []blobKey
	for _, part := range slices.Sorted(maps.Keys(o.parts)) {
		list := o.parts[part]
		slices.SortFunc(list, func(a, b blobKey) int { return cmp.Compare(a.blob.Index, b.blob.Index) })
		for i, at := range list {
			if int(at.blob.Index) != i {
				f.Problem = fmt.Sprintf("blob %d of part %d is missing", i, part)
			}
			f.Size += o.sizes[at]
		}
		blobs = append(blobs, list...)
	}
	return r.write(f, func(w io.Writer) error {
		if f.Problem != "" {
			return errors.New(f.Problem)
		}
		for _, at := range blobs {
			b, err := r.chunks.read(at, o.sizes[at])
			if err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	})
}
