package s3xml

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// Errors of the readers. What reading the body itself met is returned unchanged.
var (
	ErrMalformed = errors.New("s3xml: document malformed")  // S3: MalformedXML
	ErrTooLarge  = errors.New("s3xml: document too large")  // S3: MaxMessageLengthExceeded
	errTooDeep   = malformed("elements nested too deep")    // all three are ErrMalformed
	errLongText  = malformed("an element's text too long")  //
	errMismatch  = malformed("an element ends another one") //
)

// malformedError is an ErrMalformed that says why.
type malformedError struct{ why string }

func malformed(why string) error { return &malformedError{why} }

func (e *malformedError) Error() string        { return ErrMalformed.Error() + ": " + e.why }
func (e *malformedError) Is(target error) bool { return target == ErrMalformed }

const (
	depthMax = 8
	textMax  = 8 << 10  // bytes of an element's text; a key has 1,024
	tokenMax = 32 << 10 // bytes of a token as sent; each byte of a key may come as a reference
)

// limited is the io.ByteReader that the decoder reads from: it bounds the document and each token of it, which
// the decoder holds in memory, and remembers what the reader below said.
type limited struct {
	br    *bufio.Reader
	left  int64 // of the document
	token int   // bytes since the last token
	err   error // io.EOF at the end

	stood   int    // control characters since the last token that something else stands for
	pending []byte // of such a stand-in
	inCDATA bool
	matched int // bytes of what begins or ends CDATA
}

func (l *limited) ReadByte() (byte, error) {
	if l.err != nil {
		return 0, l.err
	}
	if len(l.pending) > 0 {
		return l.next(), nil
	}
	c, err := l.br.ReadByte()
	switch l.token++; {
	case err != nil:
		l.err = err
	case l.left == 0:
		l.err = ErrTooLarge
	case l.token > tokenMax:
		l.err = errLongText
	}
	l.left--
	if l.matched > 0 || c == '<' || c == ']' {
		l.follow(c)
	}
	if c == '&' && !l.inCDATA && l.err == nil {
		if l.standForControl(); len(l.pending) > 0 {
			return l.next(), nil
		}
	}
	return c, l.err
}

// next takes a byte off what is pending.
func (l *limited) next() byte {
	c := l.pending[0]
	l.pending = l.pending[1:]
	return c
}

// Read makes l an io.Reader, which xml.NewDecoder asks for and does not use.
func (l *limited) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// walk reads one document and calls end at the end of each element, with the local names from the root to it
// and its own text. Neither may be kept. It reads r to its end, so that what r checks there is checked.
// It is false that there is a document if r is empty and no error came.
func walk(r io.Reader, bytesMax int64, root string, end func(path []string, text []byte) error) (bool, error) {
	return (&walker{root: root, end: end}).walk(r, bytesMax)
}

// walker holds the state of walk. It checks what RawToken does not: that elements match and end, and that
// there is one root.
type walker struct {
	root  string
	end   func(path []string, text []byte) error
	path  []string   // local names
	name  []xml.Name // the same with their prefixes
	types []string   // the same elements' xsi:type
	text  []byte
	done  bool // the root has ended
	begun bool // there was something
}

func (w *walker) walk(r io.Reader, bytesMax int64) (bool, error) {
	in := &limited{br: bufio.NewReader(r), left: bytesMax}
	dec := xml.NewDecoder(in)
	for {
		in.token, in.stood = 0, 0
		token, err := dec.RawToken()
		if text, ok := token.(xml.CharData); ok && err == nil && in.stood > 0 {
			token, err = restore(text, in.stood)
		}
		if err == nil {
			err = w.step(token)
		}
		switch {
		case err == nil:
		case err == io.EOF && (w.done || !w.begun):
			return w.done, nil
		case in.err != nil && in.err != io.EOF:
			return false, in.err
		case errors.Is(err, ErrMalformed):
			return false, err
		default:
			return false, malformed(err.Error())
		}
	}
}

func (w *walker) step(token xml.Token) error {
	w.begun = true
	switch t := token.(type) {
	case xml.StartElement:
		return w.start(t.Name, typeOf(t.Attr))
	case xml.EndElement:
		return w.finish(t.Name)
	case xml.CharData:
		if len(w.path) == 0 {
			if strings.Trim(string(t), "\ufeff \t\r\n") != "" {
				return malformed("text outside of the root")
			}
			return nil
		}
		if len(w.text)+len(t) > textMax {
			return errLongText
		}
		w.text = append(w.text, t...)
	case xml.Directive:
		return malformed("a document type")
	}
	return nil
}

// typeOf is the value of xsi:type, whatever prefix that namespace has, or "".
func typeOf(attrs []xml.Attr) string {
	for _, a := range attrs {
		if a.Name.Local == "type" && a.Name.Space != "" {
			return a.Value
		}
	}
	return ""
}

func (w *walker) start(name xml.Name, xsiType string) error {
	if len(w.path) == 0 && (w.done || name.Local != w.root) {
		return malformed("the root is not one " + w.root)
	}
	if len(w.path) == depthMax {
		return errTooDeep
	}
	if len(bytes.TrimSpace(w.text)) > 0 {
		return malformed("text beside elements")
	}
	w.path, w.name, w.types, w.text = append(w.path, name.Local), append(w.name, name), append(w.types, xsiType), w.text[:0]
	return nil
}

func (w *walker) finish(name xml.Name) error {
	n := len(w.name)
	if n == 0 || w.name[n-1] != name {
		return errMismatch
	}
	if err := w.end(w.path, w.text); err != nil {
		return err
	}
	w.path, w.name, w.types, w.text, w.done = w.path[:n-1], w.name[:n-1], w.types[:n-1], w.text[:0], n == 1
	return nil
}
