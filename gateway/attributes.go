package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta/metapb"
)

// attributeNames are what x-amz-object-attributes may ask for. Source: GetObjectAttributes.
var attributeNames = []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"}

// getAttributes serves GetObjectAttributes (S3 API reference).
func (r *request) getAttributes() error {
	v, err := r.permitted()
	if err != nil {
		return err
	}
	if err := r.permitRead(v); err != nil {
		return err
	}
	asked := strings.Split(strings.ReplaceAll(r.in1("X-Amz-Object-Attributes"), " ", ""), ",")
	if asked[0] == "" {
		return errInvalidRequest.say("The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty")
	}
	var doc s3xml.Attributes
	for i, name := range asked {
		if slices.Contains(asked[:i], name) {
			continue // a list of parts may cost ten reads: not a thousand times for one request
		}
		if !slices.Contains(attributeNames, name) {
			return badArgument("x-amz-object-attributes", name, "Invalid attribute name specified.")
		}
		if err := r.addAttribute(&doc, name, v); err != nil {
			return err
		}
	}
	r.header.set("Last-Modified", lastModified(v))
	r.showVersion(v)
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// permitRead checks that the caller may read the object, too. Source: GetObjectAttributes, "Permissions".
func (r *request) permitRead(v *metapb.Version) error {
	on, action := r.subject(), "s3:GetObject"
	if on.object = v; on.version != "" {
		action = "s3:GetObjectVersion"
	}
	return r.authorize(action, on)
}

func (r *request) addAttribute(doc *s3xml.Attributes, name string, v *metapb.Version) error {
	switch name {
	case "ETag":
		tag := xmlETag(v.Md5, v.Parts)
		doc.ETag = &tag
	case "Checksum":
		// Without the number of parts that other answers have behind a composite one (AWS's answer is in floci-io/floci#3083).
		if c := checksumXML(v.Details.GetChecksum(), 0, true); c != (s3xml.Checksums{}) {
			doc.Checksums = &c
		}
	case "StorageClass":
		if doc.StorageClass = v.Details.GetStorageClass(); doc.StorageClass == "" {
			doc.StorageClass = "STANDARD"
		}
	case "ObjectSize":
		doc.Size = &v.Size
	case "ObjectParts":
		return r.addParts(doc, v)
	}
	return nil
}

// addParts adds the number of parts that v was uploaded in, if it was, and a page of them where v's checksum is made of theirs. Source:
// GetObjectAttributes, and what AWS answers, in localstack/localstack#12764.
func (r *request) addParts(doc *s3xml.Attributes, v *metapb.Version) (err error) {
	p := &s3xml.AttributeParts{Count: int(v.Parts), Listed: v.Details.GetChecksum().GetComposite()}
	if p.PartsMax, err = r.headerCount("X-Amz-Max-Parts", partsPage); err != nil {
		return err
	}
	if p.Marker, err = r.headerCount("X-Amz-Part-Number-Marker", 0); err != nil {
		return err
	}
	if v.Parts == 0 {
		return nil
	}
	doc.Parts = p
	if !p.Listed {
		return nil
	}
	most := min(p.PartsMax, partsPage)
	number := 0 // of the part: parts are counted from 1, as GetObject counts them
	for off := uint64(0); off < v.Size && len(p.Parts) < most; {
		extents, err := r.s.opt.Objects.Extents(r.ctx, r.bucket.ID, r.key, v, int64(off), partsPage)
		if err != nil {
			return err
		}
		if len(extents) == 0 {
			return errOperationAborted // it was deleted meanwhile
		}
		for _, e := range extents {
			if number++; number > p.Marker && len(p.Parts) < most {
				p.Parts = append(p.Parts, s3xml.AttributePart{Number: number, Size: e.Size, Checksums: checksumXML(e.Checksum, 0, false)})
				p.NextMarker = number
			}
			off = e.Offset + e.Size
		}
	}
	p.Truncated = p.PartsMax > 0 && p.NextMarker > 0 && p.NextMarker < p.Count
	return nil
}

// headerCount reads a header that is a number from 0 on, or fallback if it is absent.
func (r *request) headerCount(name string, fallback int) (int, error) {
	v := r.in1(name)
	if v == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 0 {
		return 0, badArgument(strings.ToLower(name), v, "Argument "+strings.ToLower(name)+" must be an integer between 0 and 2147483647")
	}
	return int(n), nil
}
