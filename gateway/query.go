package gateway

import (
	"net/url"
	"strconv"
	"strings"
)

// param is one name=value of a query, decoded.
type param struct{ name, value string }

// params is a query in the order it came. A name that comes again is ignored. It is a slice because most
// requests have one parameter or none, and a map costs more than the request's signature key.
type params []param

const paramsMax = 64 // more is nobody's S3 request

// parseQuery appends the parameters of raw to p.
func parseQuery(p params, raw string) (params, error) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := unescape(name)
		if err != nil {
			return p, err
		}
		if value, err = unescape(value); err != nil {
			return p, err
		}
		if len(p) == paramsMax {
			return p, errTooManyParams
		}
		p = append(p, param{name, value})
	}
	return p, nil
}

func unescape(s string) (string, error) {
	if !strings.ContainsAny(s, "%+") {
		return s, nil
	}
	out, err := url.QueryUnescape(s)
	if err != nil {
		return "", errInvalidURI
	}
	return out, nil
}

// get is the value of name, or "".
func (p params) get(name string) string {
	v, _ := p.look(name)
	return v
}

func (p params) has(name string) bool {
	_, ok := p.look(name)
	return ok
}

func (p params) look(name string) (string, bool) {
	for i := range p {
		if p[i].name == name {
			return p[i].value, true
		}
	}
	return "", false
}

// count reads a number from 0 to 2³¹-1, or fallback if it is absent. More than max is max.
func (p params) count(name string, fallback, max int) (int, error) {
	s, ok := p.look(name)
	if !ok || s == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0, badArgument(name, s, "Argument "+name+" must be an integer between 0 and 2147483647")
	}
	return min(int(n), max), nil
}
