package plan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrProfile reports an erasure profile that is malformed, or that the drives cannot hold.
var ErrProfile = errors.New("plan: bad erasure profile")

// SlotsMax is how many slots a PG may have: GF(2^8) allows 256, sherd 32.
const SlotsMax = 32

// Profile is k data and m parity shards.
type Profile struct{ K, M int }

func (p Profile) String() string { return fmt.Sprintf("%d+%d", p.K, p.M) }

// N is k+m.
func (p Profile) N() int { return p.K + p.M }

// ParseProfile reads "4+2". Errors: ErrProfile.
func ParseProfile(text string) (Profile, error) {
	k, m, ok := strings.Cut(strings.TrimSpace(text), "+")
	data, err1 := strconv.Atoi(k)
	parity, err2 := strconv.Atoi(m)
	p := Profile{data, parity}
	if !ok || err1 != nil || err2 != nil {
		return Profile{}, fmt.Errorf("%w: %q is not of the form 4+2", ErrProfile, text)
	}
	return p, p.check()
}

func (p Profile) check() error {
	switch {
	case p.K < 1 || p.M < 0 || p.N() > SlotsMax:
		return fmt.Errorf("%w: %s: want at least 1 data shard and at most %d in all", ErrProfile, p, SlotsMax)
	case p.M > p.K && p.K > 1:
		return fmt.Errorf("%w: %s: more parity than data", ErrProfile, p)
	}
	return nil
}

// Fits refuses a profile that so many drives cannot hold. Error: ErrProfile.
func (p Profile) Fits(drives int) error {
	if p.N() > drives {
		return fmt.Errorf("%w: %s needs %d drives, there are %d", ErrProfile, p, p.N(), drives)
	}
	return nil
}

// DefaultProfile is the profile for a number of drives, at least 1.
func DefaultProfile(drives int) Profile {
	switch {
	case drives <= 1:
		return Profile{1, 0}
	case drives == 2:
		return Profile{1, 1}
	case drives == 3:
		return Profile{2, 1}
	case drives == 4:
		return Profile{2, 2}
	case drives == 5:
		return Profile{3, 2}
	case drives < 12:
		return Profile{4, 2}
	}
	return Profile{8, 3}
}

// ReplicasMax caps the replicas of a range and the members of the embedded etcd.
const ReplicasMax = 7

// ReplicaCount is R: how many replicas a range has, so that metadata outlives what data outlives (I3). The embedded
// etcd has as many members, by the same reasoning (I9).
func ReplicaCount(parity, drives int) int { return max(1, min(2*parity+1, drives, ReplicasMax)) }
