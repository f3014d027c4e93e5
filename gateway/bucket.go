package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/placement"
)

const bucketConfigBytesMax = 32 << 10

// createBucket serves CreateBucket (S3 API reference). In us-east-1 it answers an owner who makes a bucket
// again with 200, elsewhere with BucketAlreadyOwnedByYou.
func (r *request) createBucket() error {
	if !validNewBucketName(r.name) {
		return errInvalidBucketName.with(s3xml.Extra{Name: "BucketName", Value: r.name[:min(len(r.name), 256)]})
	}
	config, err := r.bucketDocument()
	r.giveTags(config.Tags)
	r.givenRegion = config.Location
	if err != nil {
		return r.toPermitted(err)
	}
	if err := r.authorize(r.op.action, r.subject()); err != nil {
		return err
	}
	if err := r.allSupported(newBucketLocked); err != nil {
		return err
	}
	versioning, lock, err := r.newBucketLock()
	if err != nil {
		return err
	}
	if len(config.Others) > 0 {
		return errNotImplemented.with(s3xml.Extra{Name: "Element", Value: config.Others[0]})
	}
	if !validRegion(config.Location) {
		return newError(400, "InvalidLocationConstraint", "The specified location-constraint is not valid").with(
			s3xml.Extra{Name: "LocationConstraint", Value: config.Location[:min(len(config.Location), 64)]})
	}
	region := config.Location
	if region == "" {
		region = r.s.opt.Region
	}
	documents, err := r.newBucketConfig()
	if err == nil {
		err = r.newBucketTags(documents, config.Tags)
	}
	if err != nil {
		return err
	}
	b, created, err := r.s.opt.Buckets.CreateBucket(r.ctx, placement.Bucket{Name: r.name, Owner: r.caller.Account, Region: region, Pool: r.s.newBucketPool(), Config: documents, Versioning: versioning, Lock: lock})
	switch {
	case err != nil:
		return controlError(err)
	case !created && r.s.ownerID(b) != r.caller.Account:
		return errBucketExists.with(s3xml.Extra{Name: "BucketName", Value: r.name})
	case !created && region != "us-east-1":
		return errBucketOwned.with(s3xml.Extra{Name: "BucketName", Value: r.name})
	}
	r.header.set("Location", "/"+r.name)
	return r.sendEmpty(http.StatusOK)
}

// bucketDocument reads what CreateBucket's document says of the bucket, if there is one. Policies ask about that, so it is read before they are
// asked.
func (r *request) bucketDocument() (config s3xml.BucketConfig, err error) {
	if r.auth.DecodedBytes == 0 {
		return config, nil
	}
	doc, err := r.readDocument(bucketConfigBytesMax, digestOptional)
	if err != nil {
		return config, err
	}
	return readXML(doc, s3xml.ReadBucketConfig)
}

// newBucketTags gives a bucket that is made the tags that its document asks for. Source: CreateBucket, "Permissions": s3:TagResource.
func (r *request) newBucketTags(documents placement.BucketConfig, tags []s3xml.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	if err := s3xml.CheckTags(tags, s3xml.BucketTagsMax); err != nil {
		return bucketTagError(err)
	}
	if err := r.authorize("s3:TagResource", r.subject()); err != nil {
		return err
	}
	raw, err := json.Marshal(tags)
	documents[configTags] = raw
	return err
}

// newBucketPool is the pool of a bucket that names none.
func (s *Server) newBucketPool() ids.Pool {
	m := s.opt.Buckets.Map()
	if s.opt.Pool != 0 || len(m.Pools) == 0 {
		return s.opt.Pool
	}
	return m.DefaultPool().ID
}

// controlError is what a failure of the control store means to a client.
func controlError(err error) error {
	e := *errUnavailable
	e.cause = err
	return &e
}

// headBucket serves HeadBucket (S3 API reference).
func (r *request) headBucket() error {
	r.header.set("x-amz-bucket-region", r.s.region(r.bucket))
	r.header.set("Content-Type", "application/xml")
	r.send(http.StatusOK)
	return nil
}

func (s *Server) region(b *placement.Bucket) string {
	if b.Region == "" {
		return s.opt.Region
	}
	return b.Region
}

// getBucketLocation serves GetBucketLocation (S3 API reference).
func (r *request) getBucketLocation() error {
	return r.sendXML(http.StatusOK, s3xml.AppendLocation(nil, r.s.region(r.bucket)))
}

const bucketsPage = 10_000

// listBuckets serves ListBuckets (S3 API reference). Without max-buckets it answers with all there are.
func (r *request) listBuckets() error {
	limit, err := r.query.count("max-buckets", 0, bucketsPage+1)
	if err != nil {
		return err
	}
	if v := r.query.get("max-buckets"); v != "" && (limit == 0 || limit > bucketsPage) {
		return badArgument("max-buckets", v, "Argument max-buckets must be an integer between 1 and 10000")
	}
	after, err := untoken(r.query.get("continuation-token"))
	if err != nil {
		return err
	}
	prefix, region := r.query.get("prefix"), r.query.get("bucket-region")
	doc := s3xml.ListBuckets{Owner: r.s.ownerXML(r.caller.Account), Prefix: prefix}
	if err := r.s.opt.Buckets.Sync(r.ctx); err != nil {
		return controlError(err)
	}
	var found []*placement.Bucket
	for name, b := range r.s.opt.Buckets.Map().Buckets {
		if strings.HasPrefix(name, prefix) && name > after && (region == "" || region == r.s.region(b)) && r.s.ownerID(b) == r.caller.Account {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(a, b *placement.Bucket) int { return strings.Compare(a.Name, b.Name) })
	if limit > 0 && len(found) > limit {
		found = found[:limit]
		doc.ContinuationToken = token(found[limit-1].Name)
	}
	for _, b := range found {
		doc.Buckets = append(doc.Buckets, s3xml.Bucket{Name: b.Name, Created: b.Created, Region: r.s.region(b)})
	}
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// token makes the opaque text that continues a listing after a name.
func token(after string) string { return base64.RawURLEncoding.EncodeToString([]byte("1" + after)) }

func untoken(t string) (after string, err error) {
	if t == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(t)
	if err != nil || len(raw) == 0 || raw[0] != '1' || len(raw) > keyBytesMax+1 {
		return "", badArgument("continuation-token", t, "The continuation token provided is incorrect")
	}
	return string(raw[1:]), nil
}

// deleteBucket serves DeleteBucket (S3 API reference), by I20: counters first, so that a bucket that is in use is
// never sealed; then sealed, counted again, its unfinished uploads aborted, and removed.
func (r *request) deleteBucket() error {
	if err := r.s.empty(r.ctx, r.bucket.ID); err != nil {
		return r.withBucket(err)
	}
	end, err := r.s.turn(r.ctx, r.bucket.ID)
	if err != nil {
		return err
	}
	defer end()
	mark, err := r.s.opt.Buckets.SetDeleting(r.ctx, r.bucket, true)
	if err != nil {
		return r.goneOr(controlError(err))
	}
	err = r.s.sealAndRemove(r.ctx, r.bucket, mark)
	if err != nil {
		r.s.restoreBucket(r.ctx, r.bucket)
		return r.withBucket(err)
	}
	return r.sendEmpty(http.StatusNoContent)
}

func (r *request) withBucket(err error) error {
	if api := toAPI(err); api.code == errBucketNotEmpty.code {
		return api.with(s3xml.Extra{Name: "BucketName", Value: r.name})
	}
	return err
}

// goneOr is NoSuchBucket if somebody else has deleted it meanwhile, and otherwise if not. Where the name is another bucket's by now, that one may
// have been there before the request came, through a server that this one lagged behind: the client tries again, and finds it.
func (r *request) goneOr(otherwise error) error {
	if err := r.s.opt.Buckets.Sync(r.ctx); err != nil || !r.s.gone(r.bucket) {
		return otherwise
	}
	if r.s.opt.Buckets.Map().Buckets[r.name] != nil {
		return errUnavailable.say("The bucket was deleted and made again. Please try again.")
	}
	return errNoSuchBucket.with(s3xml.Extra{Name: "BucketName", Value: r.name})
}

// gone reports whether the map does not have b any more; another bucket of its name is not b.
func (s *Server) gone(b *placement.Bucket) bool {
	now := s.opt.Buckets.Map().Buckets[b.Name]
	return now == nil || now.ID != b.ID
}

func (s *Server) empty(ctx context.Context, bucket ids.Bucket) error {
	c, err := s.opt.Records.Counters(ctx, bucket)
	if err != nil {
		return err
	}
	if c.GetObjects() != 0 || c.GetVersions() != 0 {
		return errBucketNotEmpty
	}
	return nil
}

func (s *Server) sealAndRemove(ctx context.Context, b *placement.Bucket, mark uint64) error {
	if err := s.opt.Records.Seal(ctx, b.ID, false); err != nil {
		return err
	}
	if err := s.empty(ctx, b.ID); err != nil {
		return err
	}
	if err := s.abortUploads(ctx, b.ID); err != nil {
		return err
	}
	if err := s.opt.Buckets.DeleteBucket(ctx, b, mark); err != nil {
		return controlError(err)
	}
	return nil
}

// abortUploads gives the parts of a sealed bucket's unfinished uploads to the reclaimer.
func (s *Server) abortUploads(ctx context.Context, bucket ids.Bucket) error {
	for {
		page, err := s.opt.Records.ListUploads(ctx, meta.ListUploadsRequest{Bucket: bucket, Max: uploadsPage})
		if err != nil || len(page.Entries) == 0 {
			return err
		}
		for _, u := range page.Entries {
			if err := s.opt.Objects.Abort(ctx, bucket, u.Key, u.ID); err != nil && !errors.Is(err, meta.ErrNoSuchUpload) {
				return err
			}
		}
	}
}

const restoreTimeout = 30 * time.Second

// restoreBucket takes back a deletion that did not come to its end. The caller may be gone, the bucket is not. It marks
// the bucket again before it is unsealed, so that a removal which etcd has not done yet is not done later: what is
// stored from then on would go with it.
func (s *Server) restoreBucket(ctx context.Context, b *placement.Bucket) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	if err := s.opt.Buckets.Sync(ctx); err == nil && s.gone(b) {
		return // it did, after all
	}
	_, err := s.opt.Buckets.SetDeleting(ctx, b, true)
	if err == nil {
		err = s.opt.Records.Seal(ctx, b.ID, true)
	}
	if err == nil {
		_, err = s.opt.Buckets.SetDeleting(ctx, b, false)
	}
	if err != nil {
		s.opt.Logger.Error("a bucket stays sealed until its deletion is taken back", "bucket", b.Name, "err", err)
	}
}

// RecoverBuckets takes back deletions of buckets that the end of a process cut short, of this one or another. Those that are
// under way it waits for. Call it once the records answer, and again as long as the map has buckets that are being deleted.
func (s *Server) RecoverBuckets(ctx context.Context) error {
	for _, b := range s.opt.Buckets.Map().Buckets {
		if !b.Deleting {
			continue
		}
		end, err := s.turn(ctx, b.ID) // somebody may be about to delete it
		if err != nil {
			return err
		}
		err = s.opt.Buckets.Sync(ctx)
		if now := s.opt.Buckets.Map().Buckets[b.Name]; err == nil && now != nil && now.ID == b.ID && now.Deleting {
			s.restoreBucket(ctx, b)
		}
		end()
		if err != nil {
			return controlError(err)
		}
	}
	return ctx.Err()
}

// turn waits until nobody else deletes a bucket or takes its deletion back, in this process or another; end must be called.
func (s *Server) turn(ctx context.Context, bucket ids.Bucket) (end func(), err error) {
	here, err := s.deleting.begin(ctx, bucket)
	if err != nil {
		return nil, err
	}
	unlock, err := s.opt.Buckets.LockBucket(ctx, bucket)
	if err != nil {
		here()
		return nil, controlError(err)
	}
	return func() { unlock(); here() }, nil
}

// deletions lets deletions of one bucket follow each other: one that is taken back unseals the bucket, and what is
// stored then would go with it if another had found it empty before. The zero value is ready. Safe for concurrent use.
type deletions struct {
	mu   sync.Mutex
	busy map[ids.Bucket]chan struct{} // guarded by mu; closed when the deletion under way has ended
}

// begin waits for the bucket's turn; end must be called. Errors: ctx's.
func (d *deletions) begin(ctx context.Context, bucket ids.Bucket) (end func(), err error) {
	for {
		d.mu.Lock()
		before := d.busy[bucket]
		if before == nil {
			if d.busy == nil {
				d.busy = map[ids.Bucket]chan struct{}{}
			}
			ended := make(chan struct{})
			d.busy[bucket] = ended
			d.mu.Unlock()
			return func() { d.end(bucket, ended) }, nil
		}
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-before:
		}
	}
}

func (d *deletions) end(bucket ids.Bucket, ended chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, bucket)
	close(ended)
}
