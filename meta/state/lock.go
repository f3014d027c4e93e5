package state

import (
	"github.com/sherd-io/sherd/internal/hlc"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/keys"
	"github.com/sherd-io/sherd/meta/metapb"
)

// Object lock. The present is the stamp of the command, so all replicas decide alike.

// locked reports whether a version must not be removed at ts. bypass: who asks may remove what is in governance mode.
func (p *prior) locked(ts hlc.Stamp, bypass bool) (bool, error) {
	if !p.found || p.head.Flags&keys.Retained == 0 {
		return false, nil
	}
	raw, err := field(p.details, detailsLock)
	if err != nil || raw == nil {
		return false, ErrCorrupt
	}
	var l metapb.Lock
	if err := l.UnmarshalVT(raw); err != nil {
		return false, corrupt(err)
	}
	return l.LegalHold || retains(&l, ts) && !(bypass && l.Mode == metapb.LockMode_GOVERNANCE), nil
}

// retains reports whether a lock's retention has not ended at ts.
func retains(l *metapb.Lock, ts hlc.Stamp) bool {
	return l.GetMode() != metapb.LockMode_NO_RETENTION && l.Until > ts.Time().UnixMilli()
}

// lockable reports whether what is to be a version of bucket may bring its lock.
func (m *Machine) lockable(bucket ids.Bucket, d *metapb.Details) bool {
	return d.GetLock() == nil || validLock(d.Lock) && m.rules[bucket].GetLock()
}

// withDefaultLock returns the details of a new version: with the bucket's default retention if v brings none of its own.
func (m *Machine) withDefaultLock(bucket ids.Bucket, v *metapb.Version, ts hlc.Stamp) *metapb.Details {
	d, rules := v.Details, m.rules[bucket]
	if rules.GetDefaultMode() == metapb.LockMode_NO_RETENTION || v.DeleteMarker || d.GetLock().GetMode() != metapb.LockMode_NO_RETENTION {
		return d
	}
	return &metapb.Details{ // a copy: the command is not ours to change
		Headers: d.GetHeaders(), Checksum: d.GetChecksum(), Extent: d.GetExtent(), Owner: d.GetOwner(), StorageClass: d.GetStorageClass(),
		Tags: d.GetTags(), Acl: d.GetAcl(), Changed: d.GetChanged(),
		Lock: &metapb.Lock{
			Mode:      rules.DefaultMode,
			Until:     ts.Time().AddDate(int(rules.DefaultYears), 0, int(rules.DefaultDays)).UnixMilli(),
			LegalHold: d.GetLock().GetLegalHold(),
		},
	}
}

// retain gives l another retention, unless that takes away what the present one promises: compliance is only ever prolonged,
// governance is made shorter, or into compliance that nobody can take back, only by who may bypass it.
func retain(l *metapb.Lock, r *metapb.Retention, ts hlc.Stamp) metapb.Code {
	free := !retains(l, ts) || l.Mode == metapb.LockMode_GOVERNANCE && r.BypassGovernance
	if !free && (r.Mode != l.Mode || r.Until < l.Until) {
		return metapb.Code_LOCKED
	}
	l.Mode, l.Until = r.Mode, r.Until
	return metapb.Code_OK
}
