package meta

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/remote/remotepb"
	"github.com/sherd-io/sherd/meta/state"
	"github.com/sherd-io/sherd/placement"
)

// Requests and answers of listings are package state's.
type (
	ListRequest        = state.ListRequest
	ListPage           = state.ListPage
	Entry              = state.Entry
	ListUploadsRequest = state.ListUploadsRequest
	ListUploadsPage    = state.ListUploadsPage
	UploadEntry        = state.UploadEntry
)

// NextEntry decodes the first entry of a page and returns what follows it; ok is false at the end.
func NextEntry(p []byte) (e Entry, rest []byte, ok bool) { return state.NextEntry(p) }

// List reads one page in key order and appends its entries to buf. Each range is read at one state that has all that
// was acknowledged before the call. Errors: ErrUnavailable.
func (n *Node) List(ctx context.Context, req ListRequest, buf []byte) (ListPage, error) {
	page := ListPage{Entries: buf}
	spans := n.rangesOf(req.Bucket, max(req.Prefix, req.After))
	for i, rng := range spans {
		rest := req
		rest.Max -= page.Count
		if page.Count > 0 {
			rest.After = page.Next
		}
		if rest.Max <= 0 && req.Max > 0 {
			rest.Max = 1 // only to know whether there is more
		}
		full := page.Count == req.Max
		part, err := n.listRange(ctx, rng, rest, page.Entries)
		if err != nil {
			return ListPage{Entries: buf}, err
		}
		if full && i > 0 {
			page.Truncated = part.Count > 0 || part.Truncated
		} else {
			page = ListPage{
				Entries: part.Entries, Count: page.Count + part.Count,
				Truncated: part.Truncated, Next: orElse(part.Next, page.Next),
			}
		}
		if page.Truncated {
			break
		}
	}
	return page, nil
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (n *Node) listRange(ctx context.Context, rng *placement.Range, req ListRequest, buf []byte) (page ListPage, err error) {
	err = n.read(ctx, rng, func(rows pebble.Reader) (err error) {
		page, err = state.List(rows, spanOf(rng), req, buf)
		return err
	})
	if err != errElsewhere { //nolint:errorlint // it is never wrapped
		return page, err
	}
	resp, err := n.ask(ctx, findRange(rng.ID), &remotepb.Request{Op: &remotepb.Request_List{List: listMessage(req)}})
	p := resp.GetPage()
	return ListPage{
		Entries: append(buf, p.GetEntries()...), Count: int(p.GetCount()), Truncated: p.GetTruncated(), Next: string(p.GetNext()),
	}, err
}

// rangesOf lists the ranges that may hold keys of bucket from from on, in order.
func (n *Node) rangesOf(bucket ids.Bucket, from string) (all []*placement.Range) {
	begin := keys.AppendPrefix(nil, bucket, from)
	end := keys.AppendPrefix(nil, bucket+1, "")
	for _, r := range n.opt.Map().Ranges {
		if (len(r.End) == 0 || bytes.Compare(r.End, begin) > 0) && bytes.Compare(r.Start, end) < 0 {
			all = append(all, r)
		}
	}
	return all
}

// ListUploads reads one page of unfinished uploads. Errors: ErrUnavailable.
func (n *Node) ListUploads(ctx context.Context, req ListUploadsRequest) (ListUploadsPage, error) {
	var page ListUploadsPage
	for _, rng := range n.rangesOf(req.Bucket, max(req.Prefix, req.KeyMarker)) {
		rest := req
		rest.Max -= len(page.Entries)
		if len(page.Entries) > 0 {
			rest.KeyMarker, rest.IDMarker = page.NextKey, page.NextID
		}
		full := rest.Max <= 0 && req.Max > 0
		if full {
			rest.Max = 1
		}
		q := &remotepb.Request_ListUploads{ListUploads: listUploadsMessage(rest)}
		resp, err := n.ask(ctx, findRange(rng.ID), &remotepb.Request{Op: q})
		if err != nil {
			return ListUploadsPage{}, err
		}
		part := uploadsPageOf(resp.GetUploads())
		if full {
			page.Truncated = len(part.Entries) > 0
		} else {
			if len(part.Entries) > 0 {
				page.NextKey, page.NextID = part.NextKey, part.NextID
			}
			page.Entries = append(page.Entries, part.Entries...)
			page.Truncated = part.Truncated
		}
		if page.Truncated {
			break
		}
	}
	return page, nil
}
