package policy

import (
	"strings"
	"unicode/utf8"
)

// pattern is a string of a policy, ready to be matched: literals, wildcards and variables.
type pattern struct {
	pieces    []piece
	variables bool // there are some among the pieces
	fold      bool // ASCII letters are equal without regard to case: names of actions
}

// piece is a part of a pattern.
type piece struct {
	kind       pieceKind
	text       string // literal: itself; variable: its key, in lower case
	fallback   string // of a variable that has no value, if hasDefault
	hasDefault bool
}

type pieceKind uint8

const (
	literal  pieceKind = iota
	star               // any number of characters
	question           // one character
	variable           // the value of a key
)

// syntax says what is special in a string of a policy.
type syntax struct {
	wildcards bool // * and ?
	variables bool // ${…}
	fold      bool
}

// compile turns text into a pattern. It is false if a variable is not well-formed.
func (s syntax) compile(text string) (pattern, bool) {
	p := pattern{fold: s.fold}
	for text != "" {
		switch {
		case s.wildcards && text[0] == '*':
			p.add(piece{kind: star})
			text = text[1:]
		case s.wildcards && text[0] == '?':
			p.add(piece{kind: question})
			text = text[1:]
		case s.variables && strings.HasPrefix(text, "${"):
			inside, rest, ok := strings.Cut(text[2:], "}")
			if !ok {
				return pattern{}, false
			}
			v, ok := compileVariable(inside)
			if !ok {
				return pattern{}, false
			}
			p.add(v)
			text = rest
		default:
			n := 1
			for n < len(text) && !s.special(text[n:]) {
				n++
			}
			p.add(piece{kind: literal, text: text[:n]})
			text = text[n:]
		}
	}
	return p, true
}

// add appends a piece. Two literals become one, and two stars are one. What is *? is kept as ?*, which is the same: behind a star then
// stands what can be searched for.
func (p *pattern) add(next piece) {
	p.variables = p.variables || next.kind == variable
	if n := len(p.pieces); n > 0 && p.pieces[n-1].kind == star && next.kind == question {
		p.pieces[n-1].kind, next.kind = question, star
	}
	if n := len(p.pieces); n > 0 && p.pieces[n-1].kind == next.kind && (next.kind == star || next.kind == literal) {
		p.pieces[n-1].text += next.text
		return
	}
	p.pieces = append(p.pieces, next)
}

func (s syntax) special(text string) bool {
	return s.wildcards && (text[0] == '*' || text[0] == '?') || s.variables && strings.HasPrefix(text, "${")
}

// compileVariable reads what stands between the braces: a key, a key with a default in quotes, or one of the three
// characters that would mean something else.
func compileVariable(inside string) (piece, bool) {
	switch inside {
	case "*", "?", "$":
		return piece{kind: literal, text: inside}, true
	}
	name, value, hasDefault := strings.Cut(inside, ",")
	name = strings.TrimSpace(name)
	if !validKey(name) {
		return piece{}, false
	}
	v := piece{kind: variable, text: strings.ToLower(name), hasDefault: hasDefault}
	if !hasDefault {
		return v, true
	}
	value = strings.TrimSpace(value)
	if len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
		return piece{}, false
	}
	v.fallback = value[1 : len(value)-1]
	return v, true
}

// validKey says whether name looks like a condition key: service:name, or service:name/more.
func validKey(name string) bool {
	service, rest, ok := strings.Cut(name, ":")
	return ok && service != "" && rest != "" && rest[0] != '/' && strings.Trim(service, "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// fixed says whether there are neither wildcards nor variables in it.
func (p *pattern) fixed() bool {
	for _, piece := range p.pieces {
		if piece.kind != literal {
			return false
		}
	}
	return true
}

// piecesOnStack is how many pieces a pattern with variables may have before resolving it allocates.
const piecesOnStack = 12

// match says whether s fits the pattern. It is no, never yes, if a variable has no value: resolves tells the two apart.
func (p *pattern) match(e *evaluation, s string) bool {
	own := stepsMax
	steps := &own
	if e != nil {
		steps = &e.steps
	}
	if !p.variables {
		return matchPieces(p.pieces, s, p.fold, steps)
	}
	var room [piecesOnStack]piece
	pieces, ok := p.resolve(e, room[:0])
	return ok && matchPieces(pieces, s, p.fold, steps)
}

// resolve appends the pieces to dst with literals for the variables: what a variable holds is never read as a wildcard. It is
// false if one has no value.
func (p *pattern) resolve(e *evaluation, dst []piece) ([]piece, bool) {
	for _, piece := range p.pieces {
		if piece.kind == variable {
			value, ok := e.variable(&piece)
			if !ok {
				return dst, false
			}
			piece.kind, piece.text = literal, value
		}
		dst = append(dst, piece)
	}
	return dst, true
}

// resolves says whether every variable has a value.
func (p *pattern) resolves(e *evaluation) bool {
	if !p.variables {
		return true
	}
	for i := range p.pieces {
		if p.pieces[i].kind != variable {
			continue
		}
		if _, ok := e.variable(&p.pieces[i]); !ok {
			return false
		}
	}
	return true
}

// expand is the string that a pattern without wildcards stands for. It is false if a variable has no value.
func (p *pattern) expand(e *evaluation) (string, bool) {
	if len(p.pieces) == 0 {
		return "", true
	}
	if len(p.pieces) == 1 && !p.variables {
		return p.pieces[0].text, true
	}
	pieces, ok := p.resolve(e, nil)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, piece := range pieces {
		b.WriteString(piece.text)
	}
	return b.String(), true
}

// matchPieces matches literals and wildcards. A star first takes nothing, and on a mismatch the last star takes one character
// more: no earlier star has to be tried again, so that the time is at most len(pieces) · len(s). That is long for a pattern of thousands of ?,
// so steps is what it may cost: it is less than 0 if that was not enough, and the answer is then no.
func matchPieces(pieces []piece, s string, fold bool, steps *int) bool {
	p, i := 0, 0
	starred, retry := -1, 0 // the piece after the last star, and where in s it was last tried
	for *steps--; *steps >= 0; *steps-- {
		again := false // the piece after the last star is to be tried
		switch {
		case p < len(pieces) && pieces[p].kind == star:
			if p++; p == len(pieces) {
				return true
			}
			starred, retry, again = p, i, true
		case p == len(pieces) && i == len(s):
			return true
		case p < len(pieces) && pieces[p].takes(s, &i, fold):
			p++
		case starred < 0 || retry == len(s):
			return false
		default:
			_, n := utf8.DecodeRuneInString(s[retry:])
			retry, again = retry+n, true
		}
		if again {
			at := pieces[starred].seek(s, retry, fold)
			if at < 0 {
				*steps -= (len(s) - retry) / bytesPerStep
				return false
			}
			*steps -= (at - retry) / bytesPerStep
			p, i, retry = starred, at, at
		}
	}
	return false
}

// stepsMax is how many steps the patterns of a policy may take for one question: some 5 ms. What a policy takes that somebody needs is
// hundreds of times less. bytesPerStep is how much text is searched in the time of one.
const (
	stepsMax     = 500_000
	bytesPerStep = 64
)

// takes moves i behind what the piece takes of s there, if it fits.
func (p *piece) takes(s string, i *int, fold bool) bool {
	n := p.eat(s[*i:], fold)
	if n < 0 {
		return false
	}
	*i += n
	return true
}

// seek is the first place in s, from a given one on, where the piece may fit; -1 if there is none.
func (p *piece) seek(s string, from int, fold bool) int {
	if p.kind != literal || fold {
		return from
	}
	if at := strings.Index(s[from:], p.text); at >= 0 {
		return from + at
	}
	return -1
}

// eat is how many bytes at the beginning of s the piece takes, -1 if it does not fit.
func (p *piece) eat(s string, fold bool) int {
	if p.kind == question {
		if s == "" {
			return -1
		}
		_, n := utf8.DecodeRuneInString(s)
		return n
	}
	n := len(p.text)
	if len(s) < n || s[:n] != p.text && !(fold && equalFold(s[:n], p.text)) {
		return -1
	}
	return n
}

// equalFold compares ASCII strings of one length without regard to case.
func equalFold(a, b string) bool {
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// overlaps says whether some string that begins with prefix could match, whatever variables hold.
func (p *pattern) overlaps(prefix string) bool {
	return reaches(p.pieces, prefix)
}

// reaches tries every way in which pieces may take prefix. What comes after it can always be made to fit.
func reaches(pieces []piece, prefix string) bool {
	if prefix == "" {
		return true
	}
	if len(pieces) == 0 {
		return false
	}
	switch first := &pieces[0]; first.kind {
	case star, variable:
		return true // takes the whole of prefix, and more
	case question:
		_, n := utf8.DecodeRuneInString(prefix)
		return reaches(pieces[1:], prefix[n:])
	default:
		if len(first.text) >= len(prefix) {
			return strings.HasPrefix(first.text, prefix)
		}
		return strings.HasPrefix(prefix, first.text) && reaches(pieces[1:], prefix[len(first.text):])
	}
}

// covers says whether s could match, whatever variables hold.
func (p *pattern) covers(s string) bool {
	open := make([]piece, len(p.pieces))
	for i, piece := range p.pieces {
		if piece.kind == variable {
			piece.kind = star
		}
		open[i] = piece
	}
	steps := stepsMax
	return matchPieces(open, s, p.fold, &steps)
}
