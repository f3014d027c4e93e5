package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/meta/metapb"
)

// errNotModified is no error to the client: the answer has no body.
var errNotModified = newError(http.StatusNotModified, "NotModified", "Not Modified")

// readConditions are the conditions of a read. Source: RFC 9110, 13.2.2, which S3 follows; GetObject.
type readConditions struct {
	match, noneMatch          string
	modifiedSince, unmodified string
}

func (r *request) readConditions(prefix string) readConditions {
	return readConditions{
		match: r.in1(prefix + "If-Match"), noneMatch: r.in1(prefix + "If-None-Match"),
		modifiedSince: r.in1(prefix + "If-Modified-Since"), unmodified: r.in1(prefix + "If-Unmodified-Since"),
	}
}

// check says whether v may be read: nil, errNotModified or errPreconditionFailed.
func (c *readConditions) check(v *metapb.Version) error {
	if *c == (readConditions{}) {
		return nil
	}
	if c.match != "" {
		if !etagIn(c.match, v) {
			return errPreconditionFailed.with(s3xml.Extra{Name: "Condition", Value: "If-Match"})
		}
	} else if t, ok := httpTime(c.unmodified); ok && modified(v).After(t) {
		return errPreconditionFailed.with(s3xml.Extra{Name: "Condition", Value: "If-Unmodified-Since"})
	}
	if c.noneMatch != "" {
		if etagIn(c.noneMatch, v) {
			return errNotModified
		}
	} else if t, ok := httpTime(c.modifiedSince); ok && !modified(v).After(t) {
		return errNotModified
	}
	return nil
}

// etagIn reports whether v's tag is one of a list, or the list is *.
func etagIn(list string, v *metapb.Version) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	tag := object.ETag(v)
	for one := range strings.SplitSeq(list, ",") {
		if bareETag(one) == tag {
			return true
		}
	}
	return false
}

func httpTime(v string) (time.Time, bool) {
	if v == "" {
		return time.Time{}, false
	}
	t, err := http.ParseTime(v)
	return t, err == nil
}

// modified is v's time as HTTP shows it: whole seconds.
func modified(v *metapb.Version) time.Time { return hlc.Stamp(v.Ts).Time().Truncate(time.Second) }

// lastModified is v's time as the header shows it.
func lastModified(v *metapb.Version) string {
	var b [len(http.TimeFormat)]byte
	return string(appendHTTPTime(b[:0], hlc.Stamp(v.Ts).Time()))
}

// appendHTTPTime appends t in http.TimeFormat. Every answer about an object has such a time, and package time reads the format each time
// anew, which takes as long as to look up the object's caller and bucket.
func appendHTTPTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(append(b, t.Weekday().String()[:3]...), ", "...)
	b = append(appendTwo(b, day), ' ')
	b = append(append(b, month.String()[:3]...), ' ')
	b = append(appendTwo(appendTwo(b, year/100), year), ' ')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	return append(appendTwo(b, second), " GMT"...)
}

// appendTwo appends the last two decimal digits of n.
func appendTwo(b []byte, n int) []byte { return append(b, '0'+byte(n/10%10), '0'+byte(n%10)) }

// span is which bytes the Range header asks for of size. partial is false where the header is to be ignored: RFC 9110
// says so of what is malformed, S3 of several ranges. Errors: errInvalidRange.
func span(header string, size int64) (off, n int64, partial bool, err error) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, size, false, nil
	}
	from, to, ok := strings.Cut(spec, "-")
	if !ok {
		return 0, size, false, nil
	}
	unsatisfiable := func() (int64, int64, bool, error) {
		return 0, 0, false, errInvalidRange.with(s3xml.Extra{Name: "RangeRequested", Value: header[:min(len(header), 128)]}, extra("ActualObjectSize", size))
	}
	if from == "" { // the last bytes
		last, ok := position(to)
		if !ok {
			return 0, size, false, nil
		}
		if last == 0 || size == 0 {
			return unsatisfiable()
		}
		last = min(last, size)
		return size - last, last, true, nil
	}
	first, ok := position(from)
	last := size - 1
	if ok && to != "" {
		last, ok = position(to)
	}
	switch {
	case !ok || to != "" && last < first:
		return 0, size, false, nil
	case first >= size:
		return unsatisfiable()
	}
	last = min(last, size-1)
	return first, last - first + 1, true, nil
}

// position reads a decimal number; one too great for an int64 is the greatest.
func position(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}
