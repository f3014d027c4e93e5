package form

import (
	"bufio"
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

	src  *source
	file *multipart.Part
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
	f := &Form{Fields: map[string]string{}, src: &source{r: bufio.NewReaderSize(body, bufferBytes), left: fieldsBytesMax + readAhead, over: tooMuch()}}
	if err := f.readFields(multipart.NewReader(f.src, params["boundary"]), len(params["boundary"])); err != nil {
		return nil, f.src.blame(err)
	}
	if f.Fields["key"] == "" {
		return nil, fail(InvalidArgument, "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
			Fact{"ArgumentName", "key"}, Fact{"ArgumentValue", ""})
	}
	if err := f.fillIn(); err != nil {
		return nil, err
	}
	f.src.left = math.MaxInt64
	return f, nil
}

// readFields reads up to the head of the file's part.
func (f *Form) readFields(parts *multipart.Reader, boundaryBytes int) error {
	for room := fieldsBytesMax; ; {
		part, err := parts.NextRawPart()
		switch {
		case err == io.EOF: // the form ended as it should
			return fail(InvalidArgument, "POST requires exactly one file upload per request.", Fact{"ArgumentName", "file"}, Fact{"ArgumentValue", "0"})
		case err != nil:
			return malformed()
		}
		name, fileName, ok := disposition(part)
		if !ok {
			return malformed()
		}
		if room -= boundaryBytes + headBytes(part); room < 0 {
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

func tooMuch() *Error {
	return fail(MaxPostPreDataLength, "Your POST request fields preceding the upload file were too large.",
		Fact{"MaxPostPreDataLengthBytes", strconv.Itoa(fieldsBytesMax)})
}

// source bounds what is read of the body, and remembers what its reader said: mime/multipart wraps or hides it.
type source struct {
	r    io.Reader
	left int64
	over *Error // said when left is used up
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.left <= 0 {
		s.err = s.over
		return 0, s.err
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	s.err = err
	return n, err
}

// blame is what the body said, if it did, or else err.
func (s *source) blame(err error) error {
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	return err
}
