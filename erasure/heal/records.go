package heal

import (
	"context"
	"errors"
	"time"

	"github.com/sherd-io/sherd/disk"
	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Home is the object that a blob belongs to: only rows of that key refer to it (I14).
type Home struct {
	Bucket ids.Bucket
	Key    string
}

// Repair is a row of a range's repair queue: a slot that has no chunk.
type Repair struct {
	Home
	Ref   erasure.BlobRef
	Slot  uint8
	Since hlc.Stamp
}

// Reclaim is a row of a range's reclaim queue: an extent that nothing refers to since Died.
type Reclaim struct {
	Home
	Extent erasure.Extent
	Died   hlc.Stamp
	Row    any   // whatever Records needs to acknowledge it
	Bad    error // the row cannot be read: Extent is not known
}

// Item is an extent that some row refers to.
type Item struct {
	Home
	Extent  erasure.Extent
	Version hlc.Stamp // of the object's version; 0: a part of an unfinished upload
	Class   string    // the version's storage class
	Part    uint32    // 0: of no multipart object
	Row     any       // whatever Records needs to find the row again
	Bad     error     // the row cannot be read: Extent is not known
}

// Reference says what a home's rows say of a body.
type Reference uint8

const (
	Unknown    Reference = iota // no answer: keep everything (I15)
	Live                        // a version, part or snapshot refers to it
	Reclaiming                  // it is in the reclaim queue
	Absent                      // nothing refers to it
)

// ErrRefused reports a pool that ranges take no bodies in.
var ErrRefused = errors.New("heal: the ranges take nothing in that pool")

// Records is what the healer needs of the object records. meta provides it, cmd/sherd joins the two. All calls are
// linearizable; an error says nothing about the rows.
type Records interface {
	// Repairs returns at most max rows in r's span behind after (nil: from the first) and where to go on; nil: no more. Whatever
	// splits meanwhile, the rows of the whole span come, each once (I20).
	Repairs(ctx context.Context, r *placement.Range, after []byte, max int) (rows []Repair, next []byte, err error)
	// AckRepair forgets rows; absent ones are no error. AddRepair adds rows; those that are there are no error.
	AckRepair(ctx context.Context, rows []Repair) error
	AddRepair(ctx context.Context, rows []Repair) error
	// Reclaims returns at most max rows that died below the stamp, which is one of r's, a page at a time; not those of ranges that r has
	// split into, whose stamps are others (I13).
	Reclaims(ctx context.Context, r *placement.Range, below hlc.Stamp, after []byte, max int) (rows []Reclaim, next []byte, err error)
	AckReclaim(ctx context.Context, rows []Reclaim) error
	// RaiseClosed makes r refuse commits of uploads older than closed (I6). Lower than before is no error.
	RaiseClosed(ctx context.Context, r *placement.Range, closed hlc.Stamp) error
	// Referenced asks a body's home.
	Referenced(ctx context.Context, home Home, upload ids.Upload) (Reference, error)
	// Reencode has the row that item was read from refer to another body of the same bytes, if it is the same version of the object and
	// refers to the same body still; done says whether. All else of the row stays, and the body before goes to the reclaimer (I14).
	// Errors: ErrRefused: nothing was done, and the pool takes no body of anybody; any other leaves it open.
	Reencode(ctx context.Context, item Item, to erasure.Written) (done bool, err error)
	// Walk returns every extent that a row of r refers to, a page at a time as Repairs does.
	Walk(ctx context.Context, r *placement.Range, after []byte, max int) (items []Item, next []byte, err error)
}

// Planner is what the healer tells whoever changes the map. Calls are idempotent and checked against the map's present
// state: a slot that has another owner or epoch meanwhile is left alone.
type Planner interface {
	// SlotComplete: owner holds all that was written to the slot before it became the owner, at epoch since.
	SlotComplete(ctx context.Context, pool ids.Pool, pg ids.PG, slot uint8, owner ids.Drive, since uint64) error
	// Drained: no repair row names the drive that is suspect since then any more; it may count as up again (I2).
	Drained(ctx context.Context, drive ids.Drive, since time.Time) error
	// Missed: a repair row names the drive, and it cannot be healed now. If the map holds it to be up, it is suspect (I2): who gave it up may
	// have died before saying so.
	Missed(ctx context.Context, drive ids.Drive) error
	// Remember writes a setting of the map; an empty value removes it.
	Remember(ctx context.Context, name, value string) error
}

// Drive is what the healer needs of a drive beyond what the store does.
type Drive interface {
	erasure.Drive
	Chunks(ctx context.Context, pool ids.Pool, pg ids.PG, after ids.Chunk, max int) ([]disk.ChunkInfo, error)
	AllChunks(ctx context.Context, after *ids.Chunk, max int) ([]disk.ChunkInfo, error)
	RaiseEpoch(ctx context.Context, pool ids.Pool, pg ids.PG, epoch uint64) error
	Drop(ctx context.Context, keys []ids.Chunk, epoch uint64) error
	ExpireQuarantine(ctx context.Context, before time.Time) (int, error)
}

var (
	_ Drive = erasure.LocalDrive{}
	_ Drive = erasure.RemoteDrive{}
)
