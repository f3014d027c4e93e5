package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

const (
	uploadsPage      = 1000
	partsPage        = 1000
	completeBytesMax = 8 << 20 // s3xml's own bound
)

// uploadID reads S3's UploadId. One that is not ours names no upload.
func uploadID(text string) (id ids.Upload, err error) {
	if id.UnmarshalText([]byte(text)) != nil {
		return id, errNoSuchUpload.with(s3xml.Extra{Name: "UploadId", Value: text[:min(len(text), 256)]})
	}
	return id, nil
}

// withUpload adds the upload's id to NoSuchUpload, as S3 does.
func (r *request) withUpload(err error, id string) error {
	if api := toAPI(err); api.code == errNoSuchUpload.code {
		return api.with(s3xml.Extra{Name: "UploadId", Value: id[:min(len(id), 256)]})
	}
	return err
}

// partTarget reads partNumber and uploadId.
func (r *request) partTarget() (part int, id ids.Upload, err error) {
	if part, err = partNumber(r.query.get("partNumber")); err != nil {
		return 0, id, err
	}
	id, err = uploadID(r.query.get("uploadId"))
	return part, id, err
}

// createUpload serves CreateMultipartUpload (S3 API reference).
func (r *request) createUpload() error {
	details, err := r.details()
	if err != nil {
		return err
	}
	if details.Checksum, err = r.checksumChosen(); err != nil {
		return err
	}
	details.Initiator = r.initiator()
	asked := details.Checksum != nil
	id, err := r.s.opt.Objects.CreateUpload(r.ctx, r.bucket.ID, r.bucket.Rules, r.key, details)
	if err != nil {
		return err
	}
	if asked {
		r.header.set("x-amz-checksum-algorithm", object.AlgorithmName(details.Checksum.Algorithm))
		r.header.set("x-amz-checksum-type", checksumType(details.Checksum))
	}
	return r.sendXML(http.StatusOK, s3xml.AppendInitiate(nil, r.name, r.key, id.String()))
}

// checksumChosen reads which checksum an upload is to have; nil if the client does not say.
func (r *request) checksumChosen() (*metapb.Checksum, error) {
	name, kind := r.in1("X-Amz-Checksum-Algorithm"), r.in1("X-Amz-Checksum-Type")
	if name == "" {
		if kind != "" {
			return nil, errInvalidRequest.say("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return nil, nil
	}
	c := &metapb.Checksum{Algorithm: object.AlgorithmNamed(name)}
	if c.Algorithm == noAlgorithm {
		return nil, errChecksumAlgorithm
	}
	switch kind {
	case "":
		c.Composite = object.CompositeAllowed(c.Algorithm)
	case "COMPOSITE":
		c.Composite = true
	case "FULL_OBJECT":
	default:
		return nil, errInvalidRequest.say("Value for x-amz-checksum-type header is invalid.")
	}
	if c.Composite && !object.CompositeAllowed(c.Algorithm) || !c.Composite && !object.FullAllowed(c.Algorithm) {
		return nil, errInvalidRequest.say("The %s checksum type cannot be used with the %s checksum algorithm.", strings.ToUpper(checksumType(c)), strings.ToLower(name))
	}
	return c, nil
}

// uploadPart serves UploadPart (S3 API reference).
func (r *request) uploadPart() error {
	part, id, err := r.partTarget()
	if err != nil {
		return err
	}
	if err := r.allSupported(); err != nil {
		return err
	}
	contentMD5, want, err := r.digests()
	if err != nil {
		return err
	}
	body, size, err := r.openBody()
	if err != nil {
		return err
	}
	defer body.Close()
	bindTrailer(&want, body)
	e, err := r.s.opt.Objects.PutPart(r.ctx, id, uint32(part), object.Put{
		Bucket: r.bucket.ID, Rules: r.bucket.Rules, Pool: r.bucket.Pool, Key: r.key, Size: size, Body: body, ContentMD5: contentMD5, Want: want,
	})
	if err != nil {
		return r.withUpload(err, r.query.get("uploadId"))
	}
	r.header.set("ETag", string(append(object.AppendETag([]byte{'"'}, e.Md5, 0), '"')))
	shown := e.Checksum
	if want.Algorithm != noAlgorithm && want.Algorithm != shown.Algorithm { // of an upload that asked for none
		shown = &metapb.Checksum{Algorithm: want.Algorithm}
		if shown.Value, err = want.Given(); err != nil {
			return err
		}
	}
	r.showChecksum(shown, 0, false)
	if want.Algorithm != noAlgorithm {
		r.exposeChecksum(want.Algorithm)
	}
	return r.sendEmpty(http.StatusOK)
}

// completeUpload serves CompleteMultipartUpload (S3 API reference).
func (r *request) completeUpload() error {
	c := object.Complete{Bucket: r.bucket.ID, Rules: r.bucket.Rules, Key: r.key, Size: -1}
	var err error
	if c.ID, err = uploadID(r.query.get("uploadId")); err != nil {
		return err
	}
	if err := r.completeHeaders(&c); err != nil {
		return err
	}
	doc, err := r.readDocument(completeBytesMax, digestOfObject)
	if err != nil {
		return err
	}
	named, err := readXML(doc, s3xml.ReadComplete)
	if err != nil {
		return err
	}
	if c.Parts, err = completeParts(named); err != nil {
		return err
	}
	v, err := r.s.opt.Objects.Complete(r.ctx, c)
	if err != nil {
		return r.withKey(r.withUpload(err, r.query.get("uploadId")))
	}
	r.showVersion(v)
	answer := s3xml.Completed{
		Location: r.location(), Bucket: r.name, Key: r.key,
		ETag: xmlETag(v.Md5, v.Parts), Checksums: checksumXML(v.Details.GetChecksum(), v.Parts, true),
	}
	return r.sendXML(http.StatusOK, answer.Append(nil))
}

// completeHeaders reads what the client says of the finished object.
func (r *request) completeHeaders(c *object.Complete) (err error) {
	if c.Condition, err = r.writeCondition(); err != nil {
		return err
	}
	for _, a := range checksums {
		v := r.in1(a.header)
		if v == "" {
			continue
		}
		if c.Want.Algorithm != noAlgorithm {
			return errManyChecksums
		}
		c.Want.Algorithm = a.id
		v, parts, composite := strings.Cut(v, "-") // base64's own alphabet has no '-'
		if c.Want.Value, err = decodeChecksum(a.id, v); err != nil {
			return err
		}
		if !composite {
			continue
		}
		if c.WantParts, err = strconv.Atoi(parts); err != nil || c.WantParts < 1 {
			return badChecksum(a.id)
		}
	}
	switch v := r.in1("X-Amz-Checksum-Type"); v {
	case "":
	case "COMPOSITE", "FULL_OBJECT":
		composite := v == "COMPOSITE"
		c.Composite = &composite
	default:
		return errInvalidRequest.say("Value for x-amz-checksum-type header is invalid.")
	}
	if v := r.in1("X-Amz-Mp-Object-Size"); v != "" {
		n, ok := position(v)
		if !ok {
			return errInvalidRequest.say("Value for x-amz-mp-object-size header is invalid.")
		}
		c.Size = n
	}
	return nil
}

func completeParts(named []s3xml.CompletedPart) ([]object.CompletePart, error) {
	parts := make([]object.CompletePart, len(named))
	for i := range named {
		n := &named[i]
		if n.Number < 1 || n.Number > object.PartsMax {
			return nil, badArgument("PartNumber", itoa(n.Number), "PartNumber must be >= 1 and <= 10000")
		}
		a, value, err := checksumOf(&n.Checksums)
		if err != nil {
			return nil, err
		}
		parts[i] = object.CompletePart{Part: n.Number, ETag: strings.ToLower(bareETag(n.ETag)), Algorithm: a, Checksum: value}
	}
	return parts, nil
}

// location is the object's URL as the client would write it.
func (r *request) location() string {
	scheme := "http"
	if r.secure() {
		scheme = "https"
	}
	return scheme + "://" + r.host + r.http.URL.EscapedPath()
}

// permitUpload is permit where who began the upload, and the root of his account, need nobody's leave: only a denial counts.
// Source: Amazon S3 User Guide, "Multipart upload API and permissions".
func (r *request) permitUpload() error {
	on := r.subject()
	d := r.decide(r.op.action, on)
	if d.Unsaid() && on.unread == nil && !r.caller.Anonymous() {
		mine, err := r.initiated()
		if mine || err != nil {
			return err
		}
	}
	return r.verdict(d, r.op.action, on)
}

// initiated reports whether the caller began the upload that the request names, or is the root of the account of who did.
func (r *request) initiated() (bool, error) {
	id, err := uploadID(r.query.get("uploadId"))
	if err != nil {
		return false, nil
	}
	upload, _, err := r.s.opt.Objects.Parts(r.ctx, r.bucket.ID, r.key, id, 0, 1)
	switch {
	case errors.Is(err, meta.ErrNoSuchUpload):
		return false, nil
	case err != nil:
		return false, err
	}
	return r.isInitiator(upload.GetDetails().GetInitiator()), nil
}

// abortUpload serves AbortMultipartUpload (S3 API reference).
func (r *request) abortUpload() error {
	if err := r.permitUpload(); err != nil {
		return err
	}
	id, err := uploadID(r.query.get("uploadId"))
	if err != nil {
		return err
	}
	if err := r.s.opt.Objects.Abort(r.ctx, r.bucket.ID, r.key, id); err != nil {
		return r.withUpload(err, r.query.get("uploadId"))
	}
	return r.sendEmpty(http.StatusNoContent)
}

// listParts serves ListParts (S3 API reference).
func (r *request) listParts() error {
	if err := r.permitUpload(); err != nil {
		return err
	}
	text := r.query.get("uploadId")
	id, err := uploadID(text)
	if err != nil {
		return err
	}
	doc := s3xml.ListParts{Bucket: r.name, Key: r.key, UploadID: text}
	if doc.MaxParts, err = r.query.count("max-parts", partsPage, partsPage); err != nil {
		return err
	}
	if doc.PartNumberMarker, err = r.query.count("part-number-marker", 0, 1<<31-1); err != nil {
		return err
	}
	if doc.URL, err = r.urlEncoding(); err != nil {
		return err
	}
	upload, parts, err := r.s.opt.Objects.Parts(r.ctx, r.bucket.ID, r.key, id, uint32(doc.PartNumberMarker), doc.MaxParts+1)
	if err != nil {
		return r.withUpload(err, text)
	}
	if doc.Truncated = len(parts) > doc.MaxParts && doc.MaxParts > 0; len(parts) > doc.MaxParts {
		parts = parts[:doc.MaxParts]
	}
	d, owners := upload.GetDetails(), r.newOwners()
	doc.Owner, doc.Initiator = *owners.named([]byte(d.GetOwner())), r.initiatorXML(d.GetInitiator())
	c := d.GetChecksum()
	doc.StorageClass = d.GetStorageClass()
	doc.ChecksumAlgorithm, doc.ChecksumType = object.AlgorithmName(c.GetAlgorithm()), checksumType(c)
	for _, e := range parts {
		p := s3xml.Part{Number: int(e.Part), Modified: hlc.Stamp(e.Modified).Time(), ETag: xmlETag(e.Md5, 0), Size: e.Size}
		if c != nil { // of the default nobody needs to know before it is the object's
			p.Checksums = checksumXML(e.Checksum, 0, false)
		}
		doc.Parts = append(doc.Parts, p)
	}
	if n := len(parts); n > 0 {
		doc.NextMarker = int(parts[n-1].Part)
	}
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// listUploads serves ListMultipartUploads (S3 API reference).
func (r *request) listUploads() error {
	doc := s3xml.ListUploads{
		Bucket: r.name, Prefix: r.query.get("prefix"), Delimiter: r.query.get("delimiter"),
		KeyMarker: r.query.get("key-marker"), UploadIDMarker: r.query.get("upload-id-marker"),
	}
	var err error
	if doc.MaxUploads, err = r.query.count("max-uploads", uploadsPage, uploadsPage); err != nil {
		return err
	}
	if doc.URL, err = r.urlEncoding(); err != nil {
		return err
	}
	req := meta.ListUploadsRequest{Bucket: r.bucket.ID, Prefix: doc.Prefix, Delimiter: doc.Delimiter, KeyMarker: doc.KeyMarker, Max: doc.MaxUploads}
	if doc.KeyMarker != "" && doc.UploadIDMarker != "" { // S3: without key-marker, upload-id-marker is ignored
		if req.IDMarker.UnmarshalText([]byte(doc.UploadIDMarker)) != nil {
			return badArgument("upload-id-marker", doc.UploadIDMarker, "Invalid uploadId marker")
		}
	}
	page, err := r.s.opt.Records.ListUploads(r.ctx, req)
	if err != nil {
		return err
	}
	if doc.Truncated = page.Truncated; page.Truncated {
		doc.NextKeyMarker = page.NextKey
		if !page.NextID.IsZero() {
			doc.NextUploadIDMarker = page.NextID.String()
		}
	}
	owners := r.newOwners()
	for _, u := range page.Entries {
		if u.Upload == nil {
			doc.CommonPrefixes = append(doc.CommonPrefixes, u.Key)
			continue
		}
		x := uploadXML(&u)
		x.Owner, x.Initiator = *owners.named([]byte(u.Upload.GetDetails().GetOwner())), r.initiatorXML(u.Upload.GetDetails().GetInitiator())
		doc.Uploads = append(doc.Uploads, x)
	}
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// uploadXML is an upload as listings show it, but for its owner and initiator.
func uploadXML(u *meta.UploadEntry) s3xml.Upload {
	d := u.Upload.GetDetails()
	return s3xml.Upload{
		Key: u.Key, ID: u.ID.String(), StorageClass: d.GetStorageClass(),
		Initiated:         hlc.Stamp(u.Upload.Initiated).Time(),
		ChecksumAlgorithm: object.AlgorithmName(d.GetChecksum().GetAlgorithm()), ChecksumType: checksumType(d.GetChecksum()),
	}
}
