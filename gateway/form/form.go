package form

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
)

const (
	fieldsBytesMax = 20 << 10 // boundaries, heads and values ahead of the file's content
	fieldsMax      = 100
	tailBytesMax   = 20 << 10 // what may follow the file, and is ignored
	readAhead      = 8 << 10  // more than mime/multipart reads ahead
	bufferBytes    = 64 << 10
)

// Form is an upload whose file is still to be read.
type Form struct {
	// Fields are those ahead of the file, by their names in lower case. ${filename} in them is replaced.
	Fields map[string]string
	// FileName is the base name of the file as the browser named it, or "".
	FileName string

	boundary  string
	headBytes int64 // of the body, ahead of the file's content
	src       *source
	parts     *multipart.Reader
	file      *multipart.Part
}

// Read reads a form up to its file. contentType is the request's header. body is read further by File, and not closed.
//
// Errors: *Error, and body's own unchanged.
func Read(contentType string, body io.Reader) (*Form, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, fail(PreconditionFailed, "At least one of the pre-conditions you specified did not hold",
			Fact{"Condition", "Bucket POST must be of the enclosure-type multipart/form-data"})
	}
	f := &Form{Fields: map[string]string{}, boundary: params["boundary"]}
	f.src = &source{r: bufio.NewReaderSize(body, bufferBytes), byLine: true, left: fieldsBytesMax + readAhead, over: tooMuch()}
	f.parts = multipart.NewReader(f.src, f.boundary)
	if err := f.readFields(); err != nil {
		return nil, f.src.blame(err)
	}
	if f.Fields["key"] == "" {
		return nil, fail(InvalidArgument, "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
			Fact{"ArgumentName", "key"}, Fact{"ArgumentValue", ""})
	}
	if err := f.fillIn(); err != nil {
		return nil, err
	}
	f.headBytes = f.src.n
	f.src.left, f.src.byLine = math.MaxInt64, false
	return f, nil
}

// FileBytes is how long the file is in a body of total bytes, if nothing follows it but the form's end as browsers
// write it, with a line end after the last boundary. It is negative if the body is too short for that.
func (f *Form) FileBytes(total int64) int64 {
	return total - f.headBytes - int64(len("\r\n--"+f.boundary+"--\r\n"))
}

// readFields reads up to the head of the file's part.
func (f *Form) readFields() error {
	for room := fieldsBytesMax; ; {
		part, err := f.parts.NextRawPart()
		switch {
		case err == io.EOF: // the form ended as it should
			return notOneFile(0)
		case err != nil:
			return malformed()
		}
		name, fileName, ok := disposition(part)
		if !ok {
			return malformed()
		}
		if room -= len(f.boundary) + headBytes(part); room < 0 {
			return tooMuch()
		}
		if name == "file" {
			f.file, f.FileName = part, fileName
			return nil
		}
		value, err := io.ReadAll(io.LimitReader(part, int64(room)+1))
		if err != nil {
			return malformed()
		}
		if room -= len(value); room < 0 {
			return tooMuch()
		}
		if err := f.add(name, string(value)); err != nil {
			return err
		}
	}
}

// disposition is the name of a part, in lower case, and the base name of its file.
func disposition(part *multipart.Part) (name, fileName string, ok bool) {
	kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil || kind != "form-data" || params["name"] == "" {
		return "", "", false
	}
	fileName = params["filename"]
	return strings.ToLower(params["name"]), fileName[strings.LastIndexAny(fileName, `/\`)+1:], true
}

// headBytes is what a part takes beside its value and the boundary's text: dashes, line ends and its header.
func headBytes(part *multipart.Part) int {
	n := len("\r\n--\r\n\r\n")
	for name, values := range part.Header {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

func (f *Form) add(name, value string) error {
	if _, twice := f.Fields[name]; twice {
		return fail(InvalidArgument, "POST requires that each field is given once.", Fact{"ArgumentName", name}, Fact{"ArgumentValue", value})
	}
	if len(f.Fields) == fieldsMax {
		return malformed()
	}
	f.Fields[name] = value
	return nil
}

// fillIn puts the file's name in the place of ${filename}, in all fields ("is recognized by all form fields").
func (f *Form) fillIn() error {
	const variable = "${filename}"
	total := 0
	for _, value := range f.Fields {
		total += len(value) + strings.Count(value, variable)*len(f.FileName)
	}
	if total > 2*fieldsBytesMax { // a small form may not become a large one
		return tooMuch()
	}
	for name, value := range f.Fields {
		f.Fields[name] = strings.ReplaceAll(value, variable, f.FileName)
	}
	return nil
}

func notOneFile(n int64) *Error {
	return fail(InvalidArgument, "POST requires exactly one file upload per request.", Fact{"ArgumentName", "file"}, fact("ArgumentValue", n))
}

func tooMuch() *Error {
	return fail(MaxPostPreDataLength, "Your POST request fields preceding the upload file were too large.",
		Fact{"MaxPostPreDataLengthBytes", strconv.Itoa(fieldsBytesMax)})
}

// source bounds and counts what is read of the body, and remembers what its reader said: mime/multipart wraps or hides it.
type source struct {
	r *bufio.Reader
	// byLine gives a line at a time at most. mime/multipart reads no further than it must, so that after a part's head
	// n is where the part's content begins.
	byLine bool
	n      int64 // bytes given
	left   int64
	over   *Error // said when left is used up
	err    error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.left <= 0 {
		s.err = s.over
		return 0, s.err
	}
	p = p[:min(int64(len(p)), s.left)]
	if s.byLine {
		line, err := s.line()
		if err != nil {
			s.err = err
			return 0, err
		}
		p = p[:min(len(p), line)]
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	s.left -= int64(n)
	s.err = err
	return n, err
}

// line is how much of what is there belongs to one line.
func (s *source) line() (int, error) {
	if _, err := s.r.Peek(1); err != nil {
		return 0, err
	}
	ahead, _ := s.r.Peek(s.r.Buffered())
	if end := bytes.IndexByte(ahead, '\n'); end >= 0 {
		return end + 1, nil
	}
	return len(ahead), nil
}

// blame is what the body said, if it did, or else err.
func (s *source) blame(err error) error {
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	return err
}
