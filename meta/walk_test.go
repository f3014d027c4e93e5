package meta

import (
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/meta/metapb"
)

// putParts makes an object of some parts and returns its version's stamp.
func (tn *testNode) putParts(key string, parts int) uint64 {
	tn.t.Helper()
	id := ids.NewUpload(tn.clock.Now())
	check(tn.t, tn.node.CreateUpload(tn.ctx(), 0, &metapb.CreateUpload{Bucket: uint64(bucket), Key: key, Id: id[:], Details: new(metapb.Details)}))
	done := &metapb.CompleteUpload{Bucket: uint64(bucket), Key: key, Id: id[:], Version: &metapb.Version{Md5: make([]byte, 16), Parts: uint32(parts), Details: new(metapb.Details)}}
	for i := range parts {
		body := ids.NewUpload(tn.clock.Now())
		e := &metapb.Extent{Upload: body[:], Pool: 1, Size: 7, BlobSize: 64, Pgs: []byte{0, byte(i)}, Part: uint32(i + 1), Md5: make([]byte, 16)}
		check(tn.t, tn.node.PutPart(tn.ctx(), 0, &metapb.PutPart{Bucket: uint64(bucket), Key: key, Id: id[:], Extent: e}))
		done.Parts = append(done.Parts, &metapb.PartRef{Part: e.Part, Upload: e.Upload})
		done.Version.Size += e.Size
	}
	v, err := tn.node.CompleteUpload(tn.ctx(), 0, done)
	check(tn.t, err)
	return v.Ts
}

// TestWalkWholeMissesNoneThatARevisionMoves: an object that is revised while a walk is in the middle of it is met with all of its parts.
func TestWalkWholeMissesNoneThatARevisionMoves(t *testing.T) {
	tn := newNode(t, nodeConfig{drives: 3, seed: 1})
	for _, key := range []string{"a", "b", "c"} {
		tn.putParts(key, 3)
	}
	r := tn.node.Ranges()[0]
	for revised := range 3 { // one of the objects, between any two pages
		for at := 1; ; at++ {
			met, pages := map[string]map[uint32]bool{"a": {}, "b": {}, "c": {}}, 0
			for after := []byte(nil); ; {
				items, next, err := tn.node.walkWhole(tn.ctx(), r, after, 4)
				check(t, err)
				for _, i := range items {
					met[i.Key][i.Extent.Part] = true
				}
				if after = next; next == nil {
					break
				}
				if pages++; pages == at {
					tn.revise(string(rune('a' + revised)))
				}
			}
			for key, parts := range met {
				if len(parts) != 3 {
					t.Fatalf("revising %c after page %d: of %s the parts %v are met", 'a'+revised, at, key, parts)
				}
			}
			if at > pages {
				break
			}
		}
	}
}

// revise gives an object new tags, and its rows another stamp.
func (tn *testNode) revise(key string) {
	tn.t.Helper()
	v, _, err := tn.node.Get(tn.ctx(), bucket, key, GetOptions{})
	check(tn.t, err)
	_, err = tn.node.PutVersion(tn.ctx(), 0, &metapb.PutVersion{Bucket: uint64(bucket), Key: key, Version: &metapb.Version{Details: v.Details}, Revises: v.Ts})
	check(tn.t, err)
}
