package meta

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/state"
)

// Requests and answers of listings are package state's.
type (
	ListRequest = state.ListRequest
	ListPage    = state.ListPage
	Entry       = state.Entry

	ListVersionsRequest = state.ListVersionsRequest
	ListVersionsPage    = state.ListVersionsPage

	ListUploadsRequest = state.ListUploadsRequest
	ListUploadsPage    = state.ListUploadsPage
	UploadEntry        = state.UploadEntry
)

// NextEntry decodes the first entry of a page into e and returns what follows it; ok is false at the end.
func NextEntry(p []byte, e *Entry) (rest []byte, ok bool) { return state.NextEntry(p, e) }

// List reads one page in key order and appends its entries to buf. Each range is read at one state that has all that
// was acknowledged before the call. Errors: ErrNoSuchBucket, ErrUnavailable.
func (n *Node) List(ctx context.Context, req ListRequest, buf []byte) (ListPage, error) {
	page := ListPage{Entries: buf}
	span := bucketSpan(req.Bucket)
	for place := keys.AppendPrefix(nil, req.Bucket, max(req.Prefix, req.After)); ; {
		rest := req
		rest.Max -= page.Count
		if page.Count > 0 {
			rest.After = page.Next
		}
		full := page.Count == req.Max && page.Count > 0
		if full {
			rest.Max = 1 // only to know whether there is more
		}
		part, end, err := n.listRange(ctx, place, rest, page.Entries)
		if err != nil {
			return ListPage{Entries: buf}, err
		}
		if full {
			page.Truncated = part.Count > 0
		} else {
			page = ListPage{
				Entries: part.Entries, Count: page.Count + part.Count,
				Truncated: part.Truncated, Next: orElse(part.Next, page.Next),
			}
		}
		if page.Truncated || ends(end, span) || req.Max <= 0 {
			return page, n.unlessEmpty(ctx, req.Bucket, max(req.Prefix, req.After), page.Count)
		}
		place = end
	}
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// listRange lists the range that has place. end is where that range ended.
func (n *Node) listRange(ctx context.Context, place []byte, req ListRequest, buf []byte) (page ListPage, end []byte, err error) {
	here := func(rows pebble.Reader, span state.Span) (err error) {
		page, err = state.List(rows, span, req, buf)
		return err
	}
	if end, ok := n.listHere(ctx, place, here); ok {
		return page, end, nil
	}
	resp, err := n.ask(ctx, findPlace(place), &remotepb.Request{Op: &remotepb.Request_List{List: listMessage(req)}})
	p := resp.GetPage()
	return ListPage{
		Entries: append(buf, p.GetEntries()...), Count: int(p.GetCount()), Truncated: p.GetTruncated(), Next: string(p.GetNext()),
	}, resp.GetEnd(), err
}

// listHere lists the range that has place without a copy of the page, if it is led here and nothing goes wrong.
func (n *Node) listHere(ctx context.Context, place []byte, list func(pebble.Reader, state.Span) error) (end []byte, ok bool) {
	row := findPlace(place).in(n.directory())
	if row == nil {
		return nil, false
	}
	lead, _ := n.leaderNow(row.ID, nil)
	if lead == nil {
		return nil, false
	}
	err := lead.Read(ctx, snapshotted(func(rows pebble.Reader) error {
		span, err := lead.ReadSpan(rows)
		if err != nil {
			return err
		}
		if !span.Contains(place) {
			return errSplit
		}
		end = span.End
		return list(rows, span)
	}))
	return end, err == nil
}

// ListVersions reads one page of all versions, ordered by key, then newest first, and appends its entries to buf. Each range is
// read at one state that has all that was acknowledged before the call. Errors: ErrNoSuchBucket, ErrUnavailable.
func (n *Node) ListVersions(ctx context.Context, req ListVersionsRequest, buf []byte) (ListVersionsPage, error) {
	page := ListVersionsPage{Entries: buf}
	if err := n.knowsVersions(); err != nil {
		return page, err
	}
	span := bucketSpan(req.Bucket)
	for place := keys.AppendPrefix(nil, req.Bucket, max(req.Prefix, req.KeyMarker)); ; {
		rest := req
		rest.Max -= page.Count
		if page.Count > 0 {
			rest.KeyMarker, rest.VersionMarker, rest.NullMarker = page.NextKey, page.NextVersion, false
		}
		full := page.Count == req.Max && page.Count > 0
		if full {
			rest.Max = 1 // only to know whether there is more
		}
		part, end, err := n.listVersionsRange(ctx, place, rest, page.Entries)
		switch {
		case err != nil:
			return ListVersionsPage{Entries: buf}, err
		case full:
			page.Truncated = part.Count > 0
		case part.Count > 0:
			part.Count += page.Count
			page = part
		}
		if page.Truncated || ends(end, span) || req.Max <= 0 {
			return page, n.unlessEmpty(ctx, req.Bucket, max(req.Prefix, req.KeyMarker), page.Count)
		}
		place = end
	}
}

// listVersionsRange lists the range that has place. end is where that range ended.
func (n *Node) listVersionsRange(ctx context.Context, place []byte, req ListVersionsRequest, buf []byte) (page ListVersionsPage, end []byte, err error) {
	here := func(rows pebble.Reader, span state.Span) (err error) {
		page, err = state.ListVersions(rows, span, req, buf)
		return err
	}
	if end, ok := n.listHere(ctx, place, here); ok {
		return page, end, nil
	}
	resp, err := n.ask(ctx, findPlace(place), &remotepb.Request{Op: &remotepb.Request_ListVersions{ListVersions: listVersionsMessage(req)}})
	p := resp.GetPage()
	return ListVersionsPage{
		Entries: append(buf, p.GetEntries()...), Count: int(p.GetCount()), Truncated: p.GetTruncated(),
		NextKey: string(p.GetNext()), NextVersion: hlc.Stamp(p.GetNextVersion()),
	}, resp.GetEnd(), err
}

// ListUploads reads one page of unfinished uploads. Errors: ErrNoSuchBucket, ErrUnavailable.
func (n *Node) ListUploads(ctx context.Context, req ListUploadsRequest) (ListUploadsPage, error) {
	var page ListUploadsPage
	span := bucketSpan(req.Bucket)
	span.Start = keys.AppendPrefix(nil, req.Bucket, max(req.Prefix, req.KeyMarker))
	full := false
	next := func() *remotepb.Request {
		rest := req
		rest.Max -= len(page.Entries)
		if len(page.Entries) > 0 {
			rest.KeyMarker, rest.IDMarker = page.NextKey, page.NextID
		}
		if full = rest.Max <= 0 && req.Max > 0; full {
			rest.Max = 1 // only to know whether there is more
		}
		return &remotepb.Request{Op: &remotepb.Request_ListUploads{ListUploads: listUploadsMessage(rest)}}
	}
	err := n.sweep(ctx, span, next, func(resp *remotepb.Response) bool {
		part := uploadsPageOf(resp.GetUploads())
		switch {
		case full:
			page.Truncated = len(part.Entries) > 0
		case len(part.Entries) > 0:
			page.NextKey, page.NextID = part.NextKey, part.NextID
			page.Entries = append(page.Entries, part.Entries...)
			page.Truncated = part.Truncated
		}
		return !page.Truncated
	})
	if err != nil {
		return ListUploadsPage{}, err
	}
	return page, n.unlessEmpty(ctx, req.Bucket, max(req.Prefix, req.KeyMarker), len(page.Entries))
}
