package s3xml

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Prolog begins every document.
const Prolog = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// Namespace is that of every answer but Error.
const Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// chars is what AppendText and keys take.
type chars interface{ ~string | ~[]byte }

// AppendText appends s as character data. What XML 1.0 cannot hold becomes a numeric reference, as S3 does;
// bytes that are not UTF-8 become U+FFFD.
func AppendText[T chars](b []byte, s T) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			b = appendReference(b, c)
			i++
			from = i
			continue
		}
		r, size := decodeRune(s, i)
		if r == utf8.RuneError && size == 1 || r == 0xfffe || r == 0xffff {
			b = append(b, s[from:i]...)
			if size == 1 {
				b = append(b, "\uFFFD"...)
			} else {
				b = append(b, "&#x"...)
				b = append(strconv.AppendInt(b, int64(r), 16), ';')
			}
			from = i + size
		}
		i += size
	}
	return append(b, s[from:]...)
}

// decodeRune decodes the rune at s[i:]; it copies four bytes to do so for either kind of s.
func decodeRune[T chars](s T, i int) (rune, int) {
	var room [utf8.UTFMax]byte
	n := copy(room[:], s[i:min(len(s), i+utf8.UTFMax)])
	return utf8.DecodeRune(room[:n])
}

func appendReference(b []byte, c byte) []byte {
	switch c {
	case '&':
		return append(b, "&amp;"...)
	case '<':
		return append(b, "&lt;"...)
	case '>':
		return append(b, "&gt;"...)
	case '"':
		return append(b, "&quot;"...)
	case '\'':
		return append(b, "&apos;"...)
	case '\t', '\n', '\r':
		return append(strconv.AppendInt(append(b, "&#"...), int64(c), 10), ';')
	}
	return append(strconv.AppendInt(append(b, "&#x"...), int64(c), 16), ';')
}

// plain holds the ASCII bytes that stand for themselves. It is not changed.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '&' && c != '<' && c != '>' && c != '"' && c != '\''
	}
	return t
}()

// AppendURL appends s as encoding-type=url has it: every byte but letters, digits and "-_.*/" as %XX. A space
// is %20, and a plus sign %2B, so that clients which read + as a space and clients which do not agree.
func AppendURL[T chars](b []byte, s T) []byte {
	const upperHex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '*', c == '/':
			b = append(b, c)
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// appendName appends a key, prefix or delimiter, URL-encoded if the client asked for that.
func appendName[T chars](b []byte, s T, url bool) []byte {
	if url {
		return AppendURL(b, s) // leaves nothing to escape
	}
	return AppendText(b, s)
}

// AppendTime appends t as 2006-01-02T15:04:05.000Z, in UTC. t is in the years 0 to 9999.
func AppendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	ms := t.Nanosecond() / int(time.Millisecond)
	var room [24]byte
	put2(room[0:], year/100)
	put2(room[2:], year)
	room[4] = '-'
	put2(room[5:], int(month))
	room[7] = '-'
	put2(room[8:], day)
	room[10] = 'T'
	put2(room[11:], hour)
	room[13] = ':'
	put2(room[14:], minute)
	room[16] = ':'
	put2(room[17:], second)
	room[19] = '.'
	room[20] = '0' + byte(ms/100%10)
	put2(room[21:], ms)
	room[23] = 'Z'
	return append(b, room[:]...)
}

// put2 writes the last two decimal digits of n.
func put2(p []byte, n int) {
	p[0], p[1] = '0'+byte(n/10%10), '0'+byte(n%10)
}

// ETag is what an ETag is made of.
type ETag struct {
	MD5   [16]byte // of the body, or of its parts' MD5s
	Parts uint32   // 0: not a multipart object
}

// Append appends the tag with its quotes: "9b2c…-3".
func (e ETag) Append(b []byte) []byte { return append(e.append(append(b, '"')), '"') }

// String is the tag with its quotes.
func (e ETag) String() string { return string(e.Append(nil)) }

// append appends the tag without quotes.
func (e ETag) append(b []byte) []byte {
	const lowerHex = "0123456789abcdef"
	var room [32]byte
	for i, c := range e.MD5 {
		room[2*i], room[2*i+1] = lowerHex[c>>4], lowerHex[c&15]
	}
	b = append(b, room[:]...)
	if e.Parts > 0 {
		b = strconv.AppendUint(append(b, '-'), uint64(e.Parts), 10)
	}
	return b
}

// appendETag appends the element.
func appendETag(b []byte, e ETag) []byte {
	b = append(b, "<ETag>&quot;"...)
	return append(e.append(b), "&quot;</ETag>"...)
}

// element appends <name>text</name>.
func element[T chars](b []byte, name string, text T) []byte {
	return closing(AppendText(opening(b, name), text), name)
}

// optional appends the element unless text is empty.
func optional[T chars](b []byte, name string, text T) []byte {
	if len(text) == 0 {
		return b
	}
	return element(b, name, text)
}

// named appends an element that encoding-type=url applies to.
func named[T chars](b []byte, name string, text T, url bool) []byte {
	return closing(appendName(opening(b, name), text, url), name)
}

func number(b []byte, name string, n int64) []byte {
	return closing(strconv.AppendInt(opening(b, name), n, 10), name)
}

func boolean(b []byte, name string, v bool) []byte {
	return closing(strconv.AppendBool(opening(b, name), v), name)
}

func moment(b []byte, name string, t time.Time) []byte {
	return closing(AppendTime(opening(b, name), t), name)
}

func opening(b []byte, name string) []byte { return append(append(append(b, '<'), name...), '>') }

func closing(b []byte, name string) []byte { return append(append(append(b, "</"...), name...), '>') }

// root appends the prolog and the opening tag of an answer.
func root(b []byte, name string) []byte {
	b = append(append(append(b, Prolog+"<"...), name...), ` xmlns="`+Namespace+`">`...)
	return b
}
