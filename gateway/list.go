package gateway

import (
	"net/http"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta"
)

const keysPage = 1000

// listing is a ListObjects or ListObjectsV2 under way.
type listing struct {
	req       meta.ListRequest
	head      s3xml.ListHead
	showOwner bool
}

// newListing reads what both versions share.
func (r *request) newListing() (*listing, error) {
	l := &listing{head: s3xml.ListHead{Bucket: r.name, Prefix: r.query.get("prefix"), Delimiter: r.query.get("delimiter")}}
	var err error
	if l.head.MaxKeys, err = r.query.count("max-keys", keysPage, keysPage); err != nil {
		return nil, err
	}
	if l.head.URL, err = r.urlEncoding(); err != nil {
		return nil, err
	}
	if len(l.head.Prefix) > keyBytesMax {
		return nil, errKeyTooLong
	}
	l.req = meta.ListRequest{Bucket: r.bucket.ID, Prefix: l.head.Prefix, Delimiter: l.head.Delimiter, Max: l.head.MaxKeys}
	return l, nil
}

func (r *request) urlEncoding() (bool, error) {
	switch v := r.query.get("encoding-type"); v {
	case "":
		return false, nil
	case "url":
		return true, nil
	default:
		return false, badArgument("encoding-type", v, "Invalid Encoding Method specified in Request")
	}
}

// listObjectsV1 serves ListObjects (S3 API reference). NextMarker is only there with a delimiter: else the last
// key is the marker.
func (r *request) listObjectsV1() error {
	l, err := r.newListing()
	if err != nil {
		return err
	}
	l.head.Marker = r.query.get("marker")
	l.req.After, l.showOwner = l.head.Marker, true
	return r.list(l, func(page *meta.ListPage) {
		if page.Truncated && l.head.Delimiter != "" {
			l.head.NextMarker = page.Next
		}
	}, s3xml.BeginListV1)
}

// listObjectsV2 serves ListObjectsV2 (S3 API reference).
func (r *request) listObjectsV2() error {
	if v := r.query.get("list-type"); v != "2" {
		return badArgument("list-type", v, "Invalid List Type specified in Request")
	}
	l, err := r.newListing()
	if err != nil {
		return err
	}
	l.head.ContinuationToken, l.head.StartAfter = r.query.get("continuation-token"), r.query.get("start-after")
	if _, given := r.query.look("continuation-token"); given && l.head.ContinuationToken == "" {
		return badArgument("continuation-token", "", "The continuation token provided is incorrect")
	}
	if l.req.After, err = untoken(l.head.ContinuationToken); err != nil {
		return err
	}
	l.req.After = max(l.req.After, l.head.StartAfter)
	l.showOwner = r.query.get("fetch-owner") == "true"
	return r.list(l, func(page *meta.ListPage) {
		l.head.KeyCount = page.Count
		if page.Truncated {
			l.head.NextContinuationToken = token(page.Next)
		}
	}, s3xml.BeginListV2)
}

// list reads one page and answers with it. finish completes the head, begin writes it.
func (r *request) list(l *listing, finish func(*meta.ListPage), begin func([]byte, *s3xml.ListHead) []byte) error {
	entries, doc := r.s.buffer(), r.s.buffer()
	defer r.s.giveBack(entries)
	defer r.s.giveBack(doc)
	page, err := r.s.opt.Records.List(r.ctx, l.req, *entries)
	if err != nil {
		return err
	}
	*entries = page.Entries
	l.head.Truncated = page.Truncated
	finish(&page)
	b := begin((*doc)[:0], &l.head)
	b = r.appendEntries(b, page.Entries, l)
	*doc = s3xml.EndList(b)
	return r.sendXML(http.StatusOK, *doc)
}

// appendEntries appends the objects of a page, then its common prefixes.
func (r *request) appendEntries(b, entries []byte, l *listing) []byte {
	var whose owners
	if l.showOwner {
		whose = r.newOwners()
	}
	var e meta.Entry
	var o s3xml.Object
	prefixes := false
	for p, ok := meta.NextEntry(entries, &e); ok; p, ok = meta.NextEntry(p, &e) {
		if e.Prefix {
			prefixes = true
			continue
		}
		describeEntry(&o, &e)
		if l.showOwner {
			o.Owner = whose.of(&e)
		}
		b = s3xml.AppendObject(b, &o, l.head.URL)
	}
	if !prefixes {
		return b
	}
	return appendPrefixes(b, entries, l.head.URL)
}

// describeEntry makes o what listings show of e, but for its owner.
func describeEntry(o *s3xml.Object, e *meta.Entry) {
	o.Key, o.Modified, o.Size = e.Key, e.TS.Time(), e.Size
	o.ETag = s3xml.ETag{MD5: e.MD5, Parts: e.Parts}
	o.StorageClass = e.StorageClass()
	o.ChecksumAlgorithm, o.ChecksumType = object.AlgorithmName(e.Algorithm), "FULL_OBJECT"
	if e.Composite {
		o.ChecksumType = "COMPOSITE"
	}
}

// appendPrefixes appends the common prefixes of a page.
func appendPrefixes(b, entries []byte, url bool) []byte {
	var e meta.Entry
	for p, ok := meta.NextEntry(entries, &e); ok; p, ok = meta.NextEntry(p, &e) {
		if e.Prefix {
			b = s3xml.AppendPrefix(b, e.Key, url)
		}
	}
	return b
}
