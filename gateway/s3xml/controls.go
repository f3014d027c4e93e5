package s3xml

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"unicode/utf8"
)

// Keys may have control characters, which XML 1.0 has no way to write and encoding/xml refuses. S3 and its clients write them as
// XML 1.1 does, as references (&#x1;). So that the decoder takes those, each comes to it as one of the 32 characters that Unicode sets
// apart for such internal use, and is made what it was in the text that comes out.
const (
	standIn      = 0xfdd0 // noncharacters U+FDD0 to U+FDEF stand for U+0000 to U+001F
	controls     = 0x20
	referenceMax = len("#x0000;")
)

const (
	cdataBegins = "<![CDATA["
	cdataEnds   = "]]>"
)

// controlReference is the control character that an ampersand before text refers to, and how long the rest of the reference is, in bytes;
// 0 if it refers to nothing of the kind. Characters that XML 1.0 has are none of them.
func controlReference(text []byte) (c byte, size int) {
	digits, found := bytes.CutPrefix(text, []byte("#"))
	end := bytes.IndexByte(digits, ';')
	if !found || end < 1 {
		return 0, 0
	}
	size, base := len("#;")+end, 10
	if digits = digits[:end]; digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(string(digits), base, 8)
	if err != nil || n >= controls || n == '\t' || n == '\n' || n == '\r' {
		return 0, 0
	}
	return byte(n), size
}

// standForControl is called behind an ampersand. If that begins a reference to a control character, the stand-in comes in its place.
func (l *limited) standForControl() {
	text, _ := l.br.Peek(referenceMax) // fewer at the end
	c, size := controlReference(text)
	if size == 0 || l.left < int64(size) {
		return
	}
	_, _ = l.br.Discard(size) // they were there
	l.left, l.token = l.left-int64(size), l.token+size
	l.stood++
	l.pending = utf8.AppendRune(l.pending[:0], standIn+rune(c))
}

// follow notes whether the next byte is within a CDATA section, once c was read. Where nothing is matched it need not be told of what
// begins neither mark.
func (l *limited) follow(c byte) {
	mark := cdataBegins
	if l.inCDATA {
		mark = cdataEnds
	}
	switch {
	case mark[l.matched] == c:
		l.matched++
	case l.inCDATA && c == ']' && l.matched == 2:
		// ]]] may yet end it
	case mark[0] == c:
		l.matched = 1
	default:
		l.matched = 0
	}
	if l.matched == len(mark) {
		l.inCDATA, l.matched = !l.inCDATA, 0
	}
}

// restore gives back the control characters that stand-ins in the text of a token stand for, stood of them. Errors: ErrMalformed if the
// text has such characters of its own besides.
func restore(text []byte, stood int) (xml.CharData, error) {
	out := bytes.Map(func(r rune) rune {
		if r < standIn || r >= standIn+controls {
			return r
		}
		stood--
		return r - standIn
	}, text)
	if stood != 0 {
		return nil, malformed("noncharacters beside control characters")
	}
	return out, nil
}
