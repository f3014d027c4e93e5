package object

import (
	"errors"
	"strings"
	"testing"

	"github.com/sherd-io/sherd/meta"
	"github.com/sherd-io/sherd/meta/metapb"
)

const goldenVersionID = "019b00000000ffff21e0b41f5710d977" // of stamp 0x019b00000000ffff

func TestVersionIDsReadBack(t *testing.T) {
	for _, ts := range []uint64{1, 0x019b00000000ffff, 1<<64 - 1} {
		id := VersionID(&metapb.Version{Ts: ts, Versioned: true})
		ref, err := ParseVersionID(id)
		if err != nil || uint64(ref.ID) != ts || ref.Null || len(id) != versionIDBytes {
			t.Errorf("%d is %s, which reads back as %+v, %v", ts, id, ref, err)
		}
	}
	if ref, err := ParseVersionID(VersionID(&metapb.Version{Ts: 5})); err != nil || ref != (meta.VersionRef{Null: true}) {
		t.Errorf("the null version reads back as %+v, %v", ref, err)
	}
}

// TestVersionIDGolden: ids are in clients' hands.
func TestVersionIDGolden(t *testing.T) {
	if id := VersionID(&metapb.Version{Ts: 0x019b00000000ffff, Versioned: true}); id != goldenVersionID {
		t.Errorf("the id is %s, not %s", id, goldenVersionID)
	}
}

func TestVersionIDsThatCannotBe(t *testing.T) {
	good := VersionID(&metapb.Version{Ts: 0x019b00000000ffff, Versioned: true})
	for _, text := range []string{
		"", "Null", "null ", good[1:], good + "0", strings.ToUpper(good), strings.Replace(good, "f", "e", 1), strings.Repeat("0", 32),
		strings.Repeat("z", 32), "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
	} {
		if ref, err := ParseVersionID(text); !errors.Is(err, ErrVersionID) {
			t.Errorf("%q is %+v, %v", text, ref, err)
		}
	}
}

func FuzzParseVersionID(f *testing.F) {
	f.Add("null")
	f.Add(goldenVersionID)
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseVersionID(text)
		if err == nil && string(AppendVersionID(nil, ref.ID, !ref.Null)) != text {
			t.Fatalf("%q is %+v", text, ref)
		}
	})
}
