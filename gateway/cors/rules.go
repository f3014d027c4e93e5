package cors

import (
	"fmt"
	"slices"
	"strings"
)

const (
	rulesMax = 100
	idMax    = 255 // characters
)

// Config is a bucket's rules, as they are kept.
type Config struct {
	Rules []Rule `json:"rules"`
}

// Rule lets pages of some origins do some things.
type Rule struct {
	ID             string   `json:"id,omitempty"`
	AllowedOrigins []string `json:"allowedOrigins"`           // "*", or with at most one * in it; a case counts
	AllowedMethods []string `json:"allowedMethods"`           // of GET, PUT, POST, DELETE, HEAD
	AllowedHeaders []string `json:"allowedHeaders,omitempty"` // of preflights; with at most one * each, in any case
	ExposeHeaders  []string `json:"exposeHeaders,omitempty"`  // that a page may read
	MaxAgeSeconds  *int     `json:"maxAgeSeconds,omitempty"`  // how long a browser keeps the preflight's answer; nil: not said
}

// Error is what S3 says of bad rules or of a preflight.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return "cors: " + e.Code + ": " + e.Message }

func invalid(format string, args ...any) *Error {
	return &Error{Code: "InvalidRequest", Message: fmt.Sprintf(format, args...)}
}

// Validate finds the first fault of rules that are to be kept. That there are rules, and origins and methods in each,
// is checked where the document is read.
//
// Errors: *Error of InvalidRequest.
func (c *Config) Validate() error {
	if len(c.Rules) > rulesMax {
		return invalid("The number of CORS rules should not exceed allowed limit of %d rules.", rulesMax)
	}
	for i := range c.Rules {
		if err := c.Rules[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) validate() error {
	if len([]rune(r.ID)) > idMax {
		return invalid("ID length should not exceed allowed limit of %d", idMax)
	}
	for _, m := range r.AllowedMethods {
		if !validMethod(m) {
			return invalid("Found unsupported HTTP method in CORS config. Unsupported method is %s", m)
		}
	}
	for _, o := range r.AllowedOrigins {
		if strings.Count(o, "*") > 1 {
			return invalid(`AllowedOrigin "%s" can not have more than one wildcard.`, o)
		}
	}
	for _, h := range r.AllowedHeaders {
		if strings.Count(h, "*") > 1 {
			return invalid(`AllowedHeader "%s" can not have more than one wildcard.`, h)
		}
	}
	for _, h := range r.ExposeHeaders {
		if strings.Contains(h, "*") {
			return invalid(`ExposeHeader "%s" contains wildcard. We currently do not support wildcard for ExposeHeader.`, h)
		}
		if !validName(h) {
			return invalid(`ExposeHeader "%s" contains invalid character.`, h)
		}
	}
	return nil
}

func validMethod(m string) bool {
	return slices.Contains([]string{"GET", "PUT", "POST", "DELETE", "HEAD"}, m)
}

// validName reports whether h can be sent in a list of header names: a token of RFC 9110.
func validName(h string) bool {
	for i := range len(h) {
		c := h[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return h != ""
}
