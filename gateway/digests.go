package gateway

import (
	"cmp"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta/metapb"
)

const noAlgorithm = metapb.ChecksumAlgorithm_NONE

// digests reads which digests the client gives of its body. A Want with a Trailer must go through bindTrailer.
func (r *request) digests() (contentMD5 []byte, want object.Want, err error) {
	if contentMD5, err = r.contentMD5(); err != nil {
		return nil, want, err
	}
	want, err = r.checksumWanted()
	return contentMD5, want, err
}

// contentMD5 reads Content-MD5; nil if there is none.
func (r *request) contentMD5() ([]byte, error) {
	v := r.http.Header["Content-Md5"]
	if len(v) == 0 {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(v[0])
	if err != nil || len(sum) != 16 {
		return nil, errInvalidDigest
	}
	return sum, nil
}

// checksumWanted reads the x-amz-checksum-… header, or the trailer that is announced instead.
func (r *request) checksumWanted() (want object.Want, err error) {
	for _, a := range checksums {
		v := r.in1(a.header)
		if v == "" {
			continue
		}
		if want.Algorithm != noAlgorithm {
			return want, errManyChecksums
		}
		want.Algorithm = a.id
		if want.Value, err = decodeChecksum(a.id, v); err != nil {
			return want, err
		}
	}
	if names := r.in1("X-Amz-Trailer"); names != "" && want.Algorithm == noAlgorithm {
		for name := range strings.SplitSeq(names, ",") {
			name = strings.TrimSpace(name)
			if a := trailerAlgorithm(name); a != noAlgorithm {
				want.Algorithm, want.Trailer = a, noTrailer
			} else if strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-") {
				return want, errNotImplemented.with(s3xml.Extra{Name: "Trailer", Value: name})
			}
		}
	}
	name := r.in1("X-Amz-Sdk-Checksum-Algorithm")
	if name == "" {
		return want, nil
	}
	switch named := object.AlgorithmNamed(name); {
	case named == noAlgorithm:
		return want, errInvalidRequest.say("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	case want.Algorithm == noAlgorithm:
		return want, errInvalidRequest.say("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case named != want.Algorithm:
		return want, errInvalidRequest.say("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return want, nil
}

// checksums are the algorithms with their headers, in canonical form, and the elements of documents. It is not changed.
var checksums = func() (out []struct {
	id              object.Algorithm
	header, element string
}) {
	for _, a := range object.Algorithms() {
		out = append(out, struct {
			id              object.Algorithm
			header, element string
		}{a, object.ChecksumHeader(a), "Checksum" + object.AlgorithmName(a)})
	}
	return out
}()

var errChecksumAlgorithm = func() *apiError {
	var names []string
	for _, a := range object.Algorithms() {
		names = append(names, object.AlgorithmName(a))
	}
	return errInvalidRequest.say("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [%s]", strings.Join(names, ", "))
}()

var errManyChecksums = errInvalidRequest.say("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")

func noTrailer() ([]byte, error) { return nil, nil }

func trailerAlgorithm(name string) object.Algorithm {
	for _, a := range checksums {
		if strings.EqualFold(a.header, name) {
			return a.id
		}
	}
	return noAlgorithm
}

// bindTrailer makes want look for its trailer behind body.
func bindTrailer(want *object.Want, body *sigv4.BodyReader) {
	if want.Trailer == nil {
		return
	}
	a := want.Algorithm
	want.Trailer = func() ([]byte, error) {
		v := body.Trailers()[object.ChecksumHeader(a)]
		if len(v) == 0 {
			return nil, errInvalidRequest.say("The checksum trailer that x-amz-trailer announced did not come.")
		}
		return decodeChecksum(a, strings.TrimSpace(v[0]))
	}
}

func decodeChecksum(a object.Algorithm, v string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(raw) != object.ChecksumBytes(a) {
		return nil, badChecksum(a)
	}
	return raw, nil
}

func badChecksum(a object.Algorithm) error {
	return errInvalidRequest.say("Value for %s header is invalid.", strings.ToLower(object.ChecksumHeader(a)))
}

// checksumText is c as headers and documents show it: composite ones with their number of parts.
func checksumText(c *metapb.Checksum, parts uint32) string {
	if len(c.GetValue()) == 0 {
		return ""
	}
	s := base64.StdEncoding.EncodeToString(c.Value)
	if c.Composite && parts > 0 {
		s += "-" + strconv.FormatUint(uint64(parts), 10)
	}
	return s
}

func checksumType(c *metapb.Checksum) string {
	switch {
	case c == nil || c.Algorithm == noAlgorithm:
		return ""
	case c.Composite:
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// checksumXML is c as documents show it.
func checksumXML(c *metapb.Checksum, parts uint32, withType bool) (x s3xml.Checksums) {
	v := checksumText(c, parts)
	if v == "" {
		return x
	}
	for i := range checksums {
		if a := &checksums[i]; a.id == c.Algorithm {
			*x.Field(a.element) = v
		}
	}
	if withType {
		x.Type = checksumType(c)
	}
	return x
}

// checksumOf finds the one that x has.
func checksumOf(x *s3xml.Checksums) (algorithm object.Algorithm, value []byte, err error) {
	var all string
	for i := range checksums {
		a := &checksums[i]
		text := *x.Field(a.element)
		if text == "" {
			continue
		}
		if all != "" && err == nil {
			err = errManyChecksums
		}
		all += object.AlgorithmName(a.id) + ":" + text + ";"
		raw, bad := decodeChecksum(a.id, text)
		algorithm, value, err = a.id, raw, cmp.Or(err, bad)
	}
	if err != nil {
		return noAlgorithm, nil, badArgument("Checksum", all, "Invalid Base64 or multiple checksums present in request")
	}
	return algorithm, value, nil
}

// showChecksum sets the headers of an object's or a part's checksum.
func (r *request) showChecksum(c *metapb.Checksum, parts uint32, withType bool) {
	v := checksumText(c, parts)
	if v == "" {
		return
	}
	r.header.set(strings.ToLower(object.ChecksumHeader(c.Algorithm)), v)
	if withType {
		r.header.set("x-amz-checksum-type", checksumType(c))
	}
}
