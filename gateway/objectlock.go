package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/meta/metapb"
	"github.com/sherd-io/sherd/placement"
)

// Object lock: what is said here is enforced by the ranges (package state), whatever this gateway knows.

const (
	lockMode        = "X-Amz-Object-Lock-Mode"
	lockUntil       = "X-Amz-Object-Lock-Retain-Until-Date"
	lockHold        = "X-Amz-Object-Lock-Legal-Hold"
	newBucketLocked = "X-Amz-Bucket-Object-Lock-Enabled"
)

// givenLock is what a request says of a lock, as headers say it; "" is nothing.
type givenLock struct{ mode, until, hold string }

// lockGiven is what the request is about to give a version: what its body says, or else its headers.
func (r *request) lockGiven() givenLock {
	if r.givenLock != nil {
		return *r.givenLock
	}
	return givenLock{mode: r.in1(lockMode), until: r.in1(lockUntil), hold: r.in1(lockHold)}
}

// The longest retention. Source: API_DefaultRetention; "Object Lock considerations", 100 years.
const (
	retentionDaysMax  = 36_500
	retentionYearsMax = 100
)

var (
	errNoLock          = errInvalidRequest.say("Bucket is missing Object Lock Configuration")
	errNoVersionLock   = newError(404, "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration")
	errNoLockConfig    = newError(404, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
	errRetentionPeriod = errInvalidArgument.say("Default retention period must be a positive integer value of at most 100 years.")
)

// needLock is nil if versions of the bucket can be locked. That they cannot is only said after a linearizable read.
func (r *request) needLock() error {
	if r.bucket.Lock != nil {
		return nil
	}
	if err := r.s.opt.Buckets.Sync(r.ctx); err != nil {
		return controlError(err)
	}
	if b := r.s.opt.Buckets.Map().Buckets[r.name]; b != nil && b.ID == r.bucket.ID && b.Lock != nil {
		r.bucket = b
		return nil
	}
	return errNoLock
}

// lock reads the lock that headers ask for; nil if they ask for none.
func (r *request) lock() (*metapb.Lock, error) {
	given := r.lockGiven()
	mode, until, hold := given.mode, given.until, given.hold
	if given == (givenLock{}) {
		return nil, nil
	}
	if err := r.needLock(); err != nil {
		return nil, err
	}
	l := new(metapb.Lock)
	switch hold {
	case "", "OFF":
	case "ON":
		l.LegalHold = true
	default:
		return nil, badArgument(strings.ToLower(lockHold), hold, "Legal Hold must be either of 'ON' or 'OFF'")
	}
	if mode == "" && until == "" {
		return l, nil
	}
	if mode == "" || until == "" {
		return nil, errInvalidArgument.say("x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
	}
	if mode != placement.LockGovernance && mode != placement.LockCompliance {
		return nil, badArgument(strings.ToLower(lockMode), mode, "Unknown wormMode directive.")
	}
	t, ok := s3xml.ParseTime(until)
	if !ok {
		return nil, badArgument(strings.ToLower(lockUntil), until, "The retain until date must be provided in ISO 8601 format")
	}
	l.Mode, l.Until = metapb.LockMode(metapb.LockMode_value[mode]), t.UnixMilli()
	return l, r.future(t)
}

// future checks the end of a retention.
func (r *request) future(until time.Time) error {
	now, given := r.s.opt.Now(), until.Format(time.RFC3339)
	switch {
	case !until.After(now):
		return badArgument(strings.ToLower(lockUntil), given, "The retain until date must be in the future!")
	case until.After(now.AddDate(0, 0, retentionDaysMax)):
		return badArgument(strings.ToLower(lockUntil), given, "The retain until date must be at most 100 years ahead.")
	}
	return nil
}

// digestForLock wants a digest of a body that is to be locked, by the request or by the bucket's default: what cannot be removed must not
// be a mistake of the way here. Source: PutObject, Content-MD5, "required for any request to upload an object with a retention period".
func (r *request) digestForLock(p *object.Put) error {
	locked := p.Details.Lock != nil || r.bucket.Lock != nil && r.bucket.Lock.Mode != ""
	if locked && p.ContentMD5 == nil && p.Want.Algorithm == noAlgorithm {
		return errInvalidRequest.say("Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	}
	return nil
}

// showLock tells an object's lock to who may know it. Source: HeadObject, x-amz-object-lock-mode.
func (r *request) showLock(l *metapb.Lock, on *subject) {
	if l == nil {
		return
	}
	if l.Mode != metapb.LockMode_NO_RETENTION && r.may("s3:GetObjectRetention", on) {
		r.header.set("x-amz-object-lock-mode", l.Mode.String())
		r.header.set("x-amz-object-lock-retain-until-date", string(s3xml.AppendTime(nil, time.UnixMilli(l.Until))))
	}
	if r.may("s3:GetObjectLegalHold", on) {
		r.header.set("x-amz-object-lock-legal-hold", onOff(l.LegalHold))
	}
}

func onOff(on bool) string {
	if on {
		return "ON"
	}
	return "OFF"
}

// newBucketLock is the object lock of a bucket that is made, with the versioning that it needs; nil if none is asked for.
func (r *request) newBucketLock() (versioning string, lock *placement.ObjectLock, err error) {
	switch v := r.in1(newBucketLocked); {
	case v == "", strings.EqualFold(v, "false"):
		return "", nil, nil
	case !strings.EqualFold(v, "true"):
		return "", nil, badArgument("x-amz-bucket-object-lock-enabled", v, "The value must be true or false")
	case !r.s.opt.Versions():
		return "", nil, errVersions
	}
	for _, action := range [...]string{"s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"} { // CreateBucket, "Permissions"
		if err := r.authorize(action, r.subject()); err != nil {
			return "", nil, err
		}
	}
	return placement.VersioningEnabled, new(placement.ObjectLock), nil
}

// getLockConfiguration serves GetObjectLockConfiguration (S3 API reference).
func (r *request) getLockConfiguration() error {
	l := r.bucket.Lock
	if l == nil {
		return errNoLockConfig.with(r.bucketName())
	}
	doc := s3xml.ObjectLock{Mode: l.Mode, Days: l.Days, Years: l.Years}
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// putLockConfiguration serves PutObjectLockConfiguration (S3 API reference).
func (r *request) putLockConfiguration() error {
	l, err := readConfig(r, s3xml.ReadObjectLock)
	if err != nil {
		return err
	}
	if l.Days > retentionDaysMax || l.Years > retentionYearsMax {
		return errRetentionPeriod
	}
	want := placement.ObjectLock{Mode: l.Mode, Days: l.Days, Years: l.Years}
	err = r.reviseBucket(func(b *placement.Bucket) error {
		switch {
		case b.Versioning != placement.VersioningEnabled:
			return newError(409, "InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
		case b.Lock != nil && *b.Lock == want:
			return errUnchanged
		}
		b.Lock = &want
		return nil
	})
	if err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// locked reads the lock of the version that the request names, if the caller may know it; nil if it has none.
func (r *request) locked() (*metapb.Lock, error) {
	v, err := r.permitted()
	if err != nil {
		return nil, err
	}
	return v.Details.GetLock(), r.needLock()
}

// getRetention serves GetObjectRetention (S3 API reference).
func (r *request) getRetention() error {
	l, err := r.locked()
	if err != nil {
		return err
	}
	if l.GetMode() == metapb.LockMode_NO_RETENTION {
		return errNoVersionLock
	}
	doc := s3xml.Retention{Mode: l.Mode.String(), Until: time.UnixMilli(l.Until)}
	return r.sendXML(http.StatusOK, doc.Append(nil))
}

// putRetention serves PutObjectRetention (S3 API reference).
func (r *request) putRetention() error {
	want, err := readConfig(r, s3xml.ReadRetention)
	if err != nil {
		return r.toPermitted(err)
	}
	r.givenLock = &givenLock{mode: want.Mode}
	if want.Mode != "" {
		r.givenLock.until = string(s3xml.AppendTime(nil, want.Until))
	}
	err = r.update(func(cmd *metapb.UpdateVersion) error {
		change := &metapb.Retention{BypassGovernance: r.bypasses(r.subject())}
		if want.Mode != "" {
			change.Mode, change.Until = metapb.LockMode(metapb.LockMode_value[want.Mode]), want.Until.UnixMilli()
			if err := r.future(want.Until); err != nil {
				return err
			}
		}
		cmd.Change = &metapb.UpdateVersion_Retention{Retention: change}
		return r.needLock()
	})
	if err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}

// getLegalHold serves GetObjectLegalHold (S3 API reference).
func (r *request) getLegalHold() error {
	l, err := r.locked()
	if err != nil {
		return err
	}
	if l == nil {
		return errNoVersionLock
	}
	return r.sendXML(http.StatusOK, s3xml.AppendLegalHold(nil, l.LegalHold))
}

// putLegalHold serves PutObjectLegalHold (S3 API reference).
func (r *request) putLegalHold() error {
	hold, err := readConfig(r, s3xml.ReadLegalHold)
	if err != nil {
		return r.toPermitted(err)
	}
	r.givenLock = &givenLock{hold: onOff(hold)}
	err = r.update(func(cmd *metapb.UpdateVersion) error {
		cmd.Change = &metapb.UpdateVersion_LegalHold{LegalHold: hold}
		return r.needLock()
	})
	if err != nil {
		return err
	}
	return r.sendEmpty(http.StatusOK)
}
