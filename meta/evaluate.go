package meta

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/state"
)

// pageMax bounds what one request may ask for, whatever it says: more than any caller here does.
const pageMax = 1 << 16

// evaluateKey answers a read of one key's rows. Errors: ErrNoSuchKey, ErrNoSuchVersion, ErrNoSuchUpload, ErrBadCommand; else the drive's.
func evaluateKey(rows pebble.Reader, rng ids.Range, req *remotepb.Request, resp *remotepb.Response) (err error) {
	switch op := req.Op.(type) {
	case *remotepb.Request_Get:
		q := op.Get
		resp.Version, resp.Inline, resp.Sealed, err = getRow(rows, rng, ids.Bucket(q.Bucket), q.Key, GetOptions{
			Inline: q.Inline, AsOf: hlc.Stamp(q.AsOf), Version: VersionRef{ID: hlc.Stamp(q.Version), Null: q.Null},
		})
		resp.HasInline = resp.Inline != nil
	case *remotepb.Request_Extents:
		q := op.Extents
		resp.Extents, err = state.Extents(rows, ids.Bucket(q.Bucket), q.Key, hlc.Stamp(q.Ts), q.Offset, bounded(q.Max))
	case *remotepb.Request_Completed:
		q := op.Completed
		resp.Upload, err = withUpload(q.Upload, func(id ids.Upload) (*metapb.Upload, error) {
			return state.Completed(rows, ids.Bucket(q.Bucket), q.Key, id)
		})
	case *remotepb.Request_ListParts:
		q := op.ListParts
		resp.Upload, err = withUpload(q.Upload, func(id ids.Upload) (u *metapb.Upload, err error) {
			u, resp.Extents, err = state.ListParts(rows, ids.Bucket(q.Bucket), q.Key, id, q.After, bounded(q.Max))
			return u, err
		})
	case *remotepb.Request_Referenced:
		q := op.Referenced
		var ref Ref
		ref, err = withUpload(q.Upload, func(id ids.Upload) (Ref, error) {
			return state.Referenced(rows, ids.Bucket(q.Bucket), q.Key, id)
		})
		resp.Ref = uint32(ref)
	case *remotepb.Request_Sealed:
		resp.Sealed, err = state.Sealed(rows, rng, ids.Bucket(op.Sealed.Bucket))
	default:
		return fmt.Errorf("%w: %T", ErrBadCommand, op)
	}
	return err
}

// evaluate answers a read of a range's rows within span. Errors: as evaluateKey.
func evaluate(rows pebble.Reader, span state.Span, req *remotepb.Request, resp *remotepb.Response) (err error) {
	switch op := req.Op.(type) {
	case *remotepb.Request_List:
		resp.Page, err = evaluateList(rows, span, op.List)
	case *remotepb.Request_ListVersions:
		resp.Page, err = evaluateListVersions(rows, span, op.ListVersions)
	case *remotepb.Request_ListUploads:
		resp.Uploads, err = evaluateListUploads(rows, span, op.ListUploads)
	case *remotepb.Request_Counters:
		resp.Counters, err = state.CountersOf(rows, span.ID, ids.Bucket(op.Counters.Bucket))
	case *remotepb.Request_Usage:
		err = state.Usage(rows, span.ID, func(b ids.Bucket, c *metapb.Counters) error {
			resp.Usage = append(resp.Usage, &remotepb.BucketUsage{Bucket: uint64(b), Counters: c})
			return nil
		})
	case *remotepb.Request_Repairs:
		resp.Repairs, resp.Cursor, err = state.RepairRows(rows, span, op.Repairs.After, bounded(op.Repairs.Max))
	case *remotepb.Request_Reclaims:
		q := op.Reclaims
		resp.Reclaims, resp.Cursor, err = state.ReclaimRows(rows, span, hlc.Stamp(q.Below), q.After, bounded(q.Max))
	case *remotepb.Request_Walk:
		var items []WalkItem
		items, resp.Cursor, err = state.Walk(rows, span, op.Walk.After, bounded(op.Walk.Max))
		for _, i := range items {
			resp.Items = append(resp.Items, &remotepb.WalkItem{
				Bucket: uint64(i.Bucket), Key: i.Key, Extent: i.Extent, Ts: uint64(i.TS), StorageClass: i.StorageClass,
			})
		}
	case *remotepb.Request_Queued:
		a, err := state.ReadApplied(rows, span.ID)
		resp.QueuedRepairs, resp.QueuedReclaims, resp.Last = a.Repairs, a.Reclaims, uint64(a.TS)
		return err
	default:
		return fmt.Errorf("%w: %T", ErrBadCommand, op)
	}
	return err
}

func bounded(n uint32) int { return int(min(n, pageMax)) }

// withUpload calls fn with the upload id that b is.
func withUpload[T any](b []byte, fn func(ids.Upload) (T, error)) (t T, err error) {
	if len(b) != len(ids.Upload{}) {
		return t, fmt.Errorf("%w: upload id of %d bytes", ErrBadCommand, len(b))
	}
	return fn(ids.Upload(b))
}

func evaluateList(rows pebble.Reader, span state.Span, q *remotepb.List) (*remotepb.Page, error) {
	page, err := state.List(rows, span, ListRequest{
		Bucket: ids.Bucket(q.Bucket), Prefix: string(q.Prefix), Delimiter: string(q.Delimiter), After: string(q.After),
		Max: bounded(q.Max), AsOf: hlc.Stamp(q.AsOf),
	}, nil)
	return &remotepb.Page{
		Entries: page.Entries, Count: uint32(page.Count), Truncated: page.Truncated, Next: []byte(page.Next),
	}, err
}

func listMessage(req ListRequest) *remotepb.List {
	return &remotepb.List{
		Bucket: uint64(req.Bucket), Prefix: []byte(req.Prefix), Delimiter: []byte(req.Delimiter), After: []byte(req.After),
		Max: uint32(max(req.Max, 0)), AsOf: uint64(req.AsOf),
	}
}

func evaluateListVersions(rows pebble.Reader, span state.Span, q *remotepb.ListVersions) (*remotepb.Page, error) {
	page, err := state.ListVersions(rows, span, ListVersionsRequest{
		Bucket: ids.Bucket(q.Bucket), Prefix: string(q.Prefix), Delimiter: string(q.Delimiter), KeyMarker: string(q.KeyMarker),
		VersionMarker: hlc.Stamp(q.VersionMarker), NullMarker: q.NullMarker, Max: bounded(q.Max),
	}, nil)
	return &remotepb.Page{
		Entries: page.Entries, Count: uint32(page.Count), Truncated: page.Truncated,
		Next: []byte(page.NextKey), NextVersion: uint64(page.NextVersion),
	}, err
}

func listVersionsMessage(req ListVersionsRequest) *remotepb.ListVersions {
	return &remotepb.ListVersions{
		Bucket: uint64(req.Bucket), Prefix: []byte(req.Prefix), Delimiter: []byte(req.Delimiter), KeyMarker: []byte(req.KeyMarker),
		VersionMarker: uint64(req.VersionMarker), NullMarker: req.NullMarker, Max: uint32(max(req.Max, 0)),
	}
}

func evaluateListUploads(rows pebble.Reader, span state.Span, q *remotepb.ListUploads) (*remotepb.UploadsPage, error) {
	req := ListUploadsRequest{
		Bucket: ids.Bucket(q.Bucket), Prefix: string(q.Prefix), Delimiter: string(q.Delimiter),
		KeyMarker: string(q.KeyMarker), Max: bounded(q.Max),
	}
	copy(req.IDMarker[:], q.IdMarker)
	page, err := state.ListUploads(rows, span, req)
	if err != nil {
		return nil, err
	}
	out := &remotepb.UploadsPage{Truncated: page.Truncated, NextKey: []byte(page.NextKey), NextId: page.NextID[:]}
	for i := range page.Entries {
		e := &page.Entries[i]
		out.Entries = append(out.Entries, &remotepb.UploadEntry{Key: []byte(e.Key), Id: e.ID[:], Upload: e.Upload})
	}
	return out, nil
}

func listUploadsMessage(req ListUploadsRequest) *remotepb.ListUploads {
	return &remotepb.ListUploads{
		Bucket: uint64(req.Bucket), Prefix: []byte(req.Prefix), Delimiter: []byte(req.Delimiter),
		KeyMarker: []byte(req.KeyMarker), IdMarker: req.IDMarker[:], Max: uint32(max(req.Max, 0)),
	}
}

func uploadsPageOf(p *remotepb.UploadsPage) ListUploadsPage {
	page := ListUploadsPage{Truncated: p.GetTruncated(), NextKey: string(p.GetNextKey())}
	copy(page.NextID[:], p.GetNextId())
	for _, e := range p.GetEntries() {
		entry := UploadEntry{Key: string(e.GetKey()), Upload: e.GetUpload()}
		copy(entry.ID[:], e.GetId())
		page.Entries = append(page.Entries, entry)
	}
	return page
}
