package object

import (
	"context"
	"io"
	"time"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

const (
	// InlineBytes is up to which size a body lives in its record's range, by default.
	InlineBytes = 2 << 10
	// PartBytesMin is the least size of a part that is not the last.
	PartBytesMin = 5 << 20
	// ObjectBytesMax is the greatest size of an object.
	ObjectBytesMax = 5 << 40
	// BodyBytesMax is the greatest size of one body: a PutObject's, or a part's.
	BodyBytesMax = 5 << 30
	// PartsMax is the greatest part number.
	PartsMax = 10_000
)

// Records is what the path of one object needs of the object records. meta.Node provides it; every
// method is linearizable, and its errors are meta's.
type Records interface {
	PutVersion(ctx context.Context, rules int64, cmd *metapb.PutVersion) (meta.Made, error)
	// DeleteVersions gives a result for each target, nil where it is not known, also after an error.
	DeleteVersions(ctx context.Context, rules int64, cmd *metapb.DeleteVersions) ([]*metapb.DeleteResult, error)
	UpdateVersion(ctx context.Context, rules int64, cmd *metapb.UpdateVersion) (meta.Made, error)
	CreateUpload(ctx context.Context, rules int64, cmd *metapb.CreateUpload) error
	PutPart(ctx context.Context, rules int64, cmd *metapb.PutPart) error
	// CompleteUpload answers a repetition with the version it made first (I21).
	CompleteUpload(ctx context.Context, rules int64, cmd *metapb.CompleteUpload) (*metapb.Version, error)
	AbortUpload(ctx context.Context, cmd *metapb.AbortUpload) error
	// Get returns a version, a delete marker as such.
	Get(ctx context.Context, bucket ids.Bucket, key string, opt meta.GetOptions) (*metapb.Version, []byte, error)
	// Extents returns at most max extents of a multipart version, ascending, from the one that holds off;
	// none if the version is gone.
	Extents(ctx context.Context, bucket ids.Bucket, key string, ts hlc.Stamp, off int64, max int) ([]*metapb.Extent, error)
	// ListParts returns an unfinished upload and at most max of its parts after a part number.
	ListParts(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload, after uint32, max int) (*metapb.Upload, []*metapb.Extent, error)
	// Completed returns what a finished upload left, for 7 days (I21).
	Completed(ctx context.Context, bucket ids.Bucket, key string, id ids.Upload) (*metapb.Upload, error)
}

// Blobs is what it needs of the shards. erasure.Store provides it.
type Blobs interface {
	Write(ctx context.Context, t erasure.Target, size int64, src erasure.Source) (erasure.Written, error)
	Read(ctx context.Context, e erasure.Extent, off, n int64, w io.Writer) (int64, error)
	Delete(ctx context.Context, ref erasure.BlobRef) error
}

// Options configures New. A zero field means the default given here.
type Options struct {
	Records Records
	Blobs   Blobs
	Clock   *hlc.Clock
	// Rules reads a bucket's rules anew, when a range refused what was built with others, and sees to it that its ranges
	// have them (I11). nil: such a refusal is final.
	Rules func(ctx context.Context, bucket ids.Bucket) (revision int64, err error)

	// Ended reports that nobody waits for this gateway's reads any more before he reclaims what they need: they end. nil: never.
	Ended func() bool
	// ClassPool finds the pool of a storage class; without one, and without this, the bucket's is used.
	ClassPool func(class string) (pool ids.Pool, ok bool)

	InlineBytes  int           // 2 KiB; negative: nothing is inline
	PartBytesMin int64         // 5 MiB
	WriteMax     time.Duration // 23h: a body that takes longer is ended; less than the ranges' closed lag (I6)
	ReadMax      time.Duration // 24h: a read that takes longer is ended (I13)
	SealWait     time.Duration // 2s: how long a write waits for a bucket's seal to go (I20)
}

func (o *Options) validate() {
	if o.Clock == nil {
		o.Clock = hlc.New(nil)
	}
	if o.Ended == nil {
		o.Ended = func() bool { return false }
	}
	setDefault(&o.InlineBytes, InlineBytes)
	setDefault(&o.PartBytesMin, PartBytesMin)
	setDefault(&o.WriteMax, 23*time.Hour)
	setDefault(&o.ReadMax, 24*time.Hour)
	setDefault(&o.SealWait, 2*time.Second)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Store puts and gets objects. It is safe for concurrent use.
type Store struct {
	opt   Options
	md5   md5Pool
	reads reads
}

// New returns a store. It starts nothing by itself; Close ends what it has started since.
func New(opt Options) *Store {
	opt.validate()
	s := &Store{opt: opt}
	s.reads.init(opt.Clock, opt.ReadMax)
	return s
}

// Close ends the digests' goroutine. No body may be under way.
func (s *Store) Close() { s.md5.close() }

// OpenReads says which reads are open: what dies is not reclaimed while one is that may have seen it alive (I13).
func (s *Store) OpenReads() OpenReads { return s.reads.open() }
