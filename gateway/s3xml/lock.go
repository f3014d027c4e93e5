package s3xml

import (
	"errors"
	"io"
	"time"
)

// ErrPeriod is a default retention's period that is not positive. S3: InvalidArgument.
var ErrPeriod = errors.New("s3xml: default retention period is not a positive integer")

// ObjectLock is a bucket's ObjectLockConfiguration, which is always enabled.
type ObjectLock struct {
	Mode        string // GOVERNANCE, COMPLIANCE; "": no rule
	Days, Years int    // of the rule: one of them is positive, the other 0
}

// ReadObjectLock reads the body of PutObjectLockConfiguration.
//
// Errors: ErrMalformed, ErrPeriod, ErrTooLarge, r's own.
func ReadObjectLock(r io.Reader) (ObjectLock, error) {
	return readConfig(r, "ObjectLockConfiguration", func(n *node) (l ObjectLock) {
		n.only("ObjectLockEnabled", "Rule")
		n.need("ObjectLockEnabled").oneOf("Enabled")
		rule := n.child("Rule")
		if rule == nil {
			return l
		}
		rule.only("DefaultRetention")
		d := rule.need("DefaultRetention")
		d.only("Mode", "Days", "Years")
		l.Mode = d.need("Mode").oneOf("GOVERNANCE", "COMPLIANCE")
		days, years := d.child("Days"), d.child("Years")
		if (days == nil) == (years == nil) {
			d.fail("one of Days and Years belongs here")
		}
		if l.Days, l.Years = days.integer(), years.integer(); l.Days+l.Years <= 0 && *n.err == nil {
			*n.err = ErrPeriod
		}
		return l
	})
}

// Append appends GetObjectLockConfiguration's document.
func (l *ObjectLock) Append(b []byte) []byte {
	b = root(b, "ObjectLockConfiguration")
	b = append(b, "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"...)
	if l.Mode != "" {
		b = append(b, "<Rule><DefaultRetention>"...)
		b = element(b, "Mode", l.Mode)
		if l.Years > 0 {
			b = number(b, "Years", int64(l.Years))
		} else {
			b = number(b, "Days", int64(l.Days))
		}
		b = append(b, "</DefaultRetention></Rule>"...)
	}
	return closing(b, "ObjectLockConfiguration")
}

// Retention is an object version's. The zero one says that it has none.
type Retention struct {
	Mode  string // GOVERNANCE, COMPLIANCE
	Until time.Time
}

// ReadRetention reads the body of PutObjectRetention. An empty Retention takes away what the version has.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadRetention(r io.Reader) (Retention, error) {
	return readConfig(r, "Retention", func(n *node) (v Retention) {
		n.only("Mode", "RetainUntilDate")
		if n.child("Mode") == nil && n.child("RetainUntilDate") == nil {
			return v
		}
		v.Mode = n.need("Mode").oneOf("GOVERNANCE", "COMPLIANCE")
		v.Until = n.need("RetainUntilDate").instant()
		return v
	})
}

// Append appends GetObjectRetention's document.
func (v *Retention) Append(b []byte) []byte {
	b = root(b, "Retention")
	b = element(b, "Mode", v.Mode)
	b = moment(b, "RetainUntilDate", v.Until)
	return closing(b, "Retention")
}

// ReadLegalHold reads the body of PutObjectLegalHold: whether the hold is on.
//
// Errors: ErrMalformed, ErrTooLarge, r's own.
func ReadLegalHold(r io.Reader) (bool, error) {
	return readConfig(r, "LegalHold", func(n *node) bool {
		n.only("Status")
		return n.need("Status").oneOf("ON", "OFF") == "ON"
	})
}

// AppendLegalHold appends GetObjectLegalHold's document.
func AppendLegalHold(b []byte, on bool) []byte {
	status := "OFF"
	if on {
		status = "ON"
	}
	return closing(element(root(b, "LegalHold"), "Status", status), "LegalHold")
}
