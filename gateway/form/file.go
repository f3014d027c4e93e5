package form

import (
	"io"
	"math"
	"strconv"
)

// Range is how many bytes a file may have, both ends included.
type Range struct{ Min, Max int64 }

// AnyLength is the range of a form whose policy says nothing of the length.
func AnyLength() Range { return Range{0, math.MaxInt64} }

// File reads the file. It fails with EntityTooLarge as soon as there are more bytes than r allows, and with
// EntityTooSmall at the end of one with fewer. Its io.EOF says that the whole body has been read.
//
// Errors: *Error, and the body's own unchanged. The reader keeps them.
func (f *Form) File(r Range) io.Reader { return &file{form: f, allowed: r} }

type file struct {
	form    *Form
	allowed Range
	n       int64 // bytes so far
	err     error
}

func (f *file) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.form.file.Read(p)
	f.n += int64(n)
	switch {
	case f.n > f.allowed.Max:
		n, f.err = 0, fail(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size", fact("ProposedSize", f.n), fact("MaxSizeAllowed", f.allowed.Max))
	case err == io.EOF && f.n < f.allowed.Min:
		f.err = fail(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size", fact("ProposedSize", f.n), fact("MinSizeAllowed", f.allowed.Min))
	case err == io.EOF:
		f.err = f.form.finish()
	case err != nil:
		f.err = f.form.src.blame(malformed()) // the body ended within the file
	}
	return n, f.err
}

// finish reads what follows the file to the end of the body. It is ignored, unless it is another file.
func (f *Form) finish() error {
	f.src.left, f.src.over = tailBytesMax, malformed()
	for {
		part, err := f.parts.NextRawPart()
		if err != nil {
			break // the form's end; if it is the body's, src says so below
		}
		if name, _, ok := disposition(part); ok && name == "file" {
			return notOneFile(2)
		}
	}
	_, err := io.Copy(io.Discard, f.src)
	if err == nil {
		return io.EOF
	}
	return err
}

func fact(name string, n int64) Fact { return Fact{name, strconv.FormatInt(n, 10)} }
