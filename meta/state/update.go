package state

import (
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// updateVersion applies UpdateVersion: the version's row gets other details under the same stamp.
func (m *Machine) updateVersion(u *metapb.UpdateVersion, ts hlc.Stamp) (*metapb.Result, error) {
	if !validUpdate(u) {
		return refuse(metapb.Code_BAD_COMMAND)
	}
	bucket := ids.Bucket(u.Bucket)
	switch {
	case !m.inSpan(bucket, u.Key):
		return refuse(metapb.Code_STALE_RANGE)
	case !m.current(bucket):
		return refuse(metapb.Code_STALE_RULES)
	}
	p, absent, err := m.updated(bucket, u)
	if err != nil {
		return nil, err
	}
	if !p.exists() {
		return refuse(absent)
	}
	d := new(metapb.Details)
	if err := d.UnmarshalVT(p.details); err != nil {
		return nil, corrupt(err)
	}
	if e := u.Expect; e != nil && (hlc.Stamp(e.Ts) != p.ts || e.Changed != d.Changed) {
		return refuse(metapb.Code_PRECONDITION_FAILED)
	}
	if code := m.change(bucket, d, u, ts); code != metapb.Code_OK {
		return refuse(code)
	}
	d.Changed = uint64(ts)
	m.describe(&p.head, d)
	return &metapb.Result{Ts: uint64(p.ts), Versioned: !p.null()}, m.setVersion(bucket, u.Key, &p.head, d, p.ts)
}

// updated looks up the version that u is about; absent is what is to be said if it is not there.
func (m *Machine) updated(bucket ids.Bucket, u *metapb.UpdateVersion) (p prior, absent metapb.Code, err error) {
	p, err = m.newest(bucket, u.Key)
	if err != nil || u.Version == 0 && !u.Null {
		return p, metapb.Code_NO_SUCH_KEY, err
	}
	p, err = m.find(bucket, u.Key, hlc.Stamp(u.Version), u.Null, &p)
	return p, metapb.Code_NO_SUCH_VERSION, err
}

// change makes u's change in d.
func (m *Machine) change(bucket ids.Bucket, d *metapb.Details, u *metapb.UpdateVersion, ts hlc.Stamp) metapb.Code {
	switch c := u.Change.(type) {
	case *metapb.UpdateVersion_Tags:
		d.Tags = c.Tags
		return metapb.Code_OK
	case *metapb.UpdateVersion_Acl:
		d.Acl = c.Acl
		return metapb.Code_OK
	}
	if !m.rules[bucket].GetLock() {
		return metapb.Code_BAD_COMMAND
	}
	l := d.Lock
	if l == nil {
		l = new(metapb.Lock)
	}
	switch c := u.Change.(type) {
	case *metapb.UpdateVersion_Retention:
		if code := retain(l, c.Retention, ts); code != metapb.Code_OK {
			return code
		}
		if l.Mode == metapb.LockMode_NO_RETENTION && !l.LegalHold {
			l = nil
		}
	case *metapb.UpdateVersion_LegalHold: // one that is off is still shown as such
		l.LegalHold = c.LegalHold
	}
	d.Lock = l
	return metapb.Code_OK
}
