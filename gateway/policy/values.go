package policy

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"time"
)

// decimal is a number as policies and requests write it. Comparing the digits is exact, whatever their number.
type decimal struct {
	negative        bool
	whole, fraction string // without the zeros that say nothing
}

// parseDecimal reads an integer or a decimal with a point.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative, s = s[0] == '-', s[1:]
	}
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(fraction) {
		return decimal{}, false
	}
	d.whole, d.fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if d.whole == "" && d.fraction == "" {
		d.negative = false
	}
	return d, true
}

// digits says whether s is one digit or more, and nothing else.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// compare is -1, 0 or 1: d is less than, equal to, greater than other.
func (d decimal) compare(other decimal) int {
	switch {
	case d.negative && !other.negative:
		return -1
	case !d.negative && other.negative:
		return 1
	case d.negative:
		return other.compareMagnitude(d)
	}
	return d.compareMagnitude(other)
}

func (d decimal) compareMagnitude(other decimal) int {
	if len(d.whole) != len(other.whole) {
		if len(d.whole) < len(other.whole) {
			return -1
		}
		return 1
	}
	if c := strings.Compare(d.whole, other.whole); c != 0 {
		return c
	}
	return strings.Compare(d.fraction, other.fraction)
}

// epochDigitsMax keeps seconds since 1970 within what time.Time holds: the year 5138.
const epochDigitsMax = 11

// parseDate reads the forms of ISO 8601 that the W3C's note lists, or seconds since 1970. Four digits are a year.
func parseDate(s string) (time.Time, bool) {
	if digits(s) && len(s) != len("2006") {
		if len(s) > epochDigitsMax {
			return time.Time{}, false
		}
		var seconds int64
		for i := range len(s) {
			seconds = 10*seconds + int64(s[i]-'0')
		}
		return time.Unix(seconds, 0).UTC(), true
	}
	layout := dateLayout(s)
	if layout == "" {
		return time.Time{}, false
	}
	t, err := time.Parse(layout, s)
	return t, err == nil
}

// dateLayout is the one form that s can have, "" if none. time.Parse alone is content with less: an hour of one digit, a comma.
func dateLayout(s string) string {
	switch len(s) {
	case len("2006"):
		return "2006"
	case len("2006-01"):
		return "2006-01"
	case len("2006-01-02"):
		return time.DateOnly
	}
	if len(s) < len("2006-01-02T15:04Z") || s[10] != 'T' || s[13] != ':' || strings.Contains(s, ",") {
		return ""
	}
	if s[16] == ':' {
		return time.RFC3339 // seconds may have a fraction
	}
	return "2006-01-02T15:04Z07:00"
}

// parseNetwork reads an address or a CIDR block of either family. An address stands for itself alone.
func parseNetwork(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err == nil && !p.Addr().Is4In6()
	}
	a, ok := parseAddress(s)
	if !ok {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// parseAddress reads an address. One of IPv4 written as IPv6 (::ffff:192.0.2.1) is the one of IPv4.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil && a.Zone() == ""
}

func parseBinary(s string) (string, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err == nil
}

// parseBool reads true and false, however they are written.
func parseBool(s string) (value, ok bool) {
	if strings.EqualFold(s, "true") {
		return true, true
	}
	return false, strings.EqualFold(s, "false")
}
