package ids

import (
	"bytes"
	"testing"

	"github.com/sherd-io/sherd/internal/hlc"
)

func TestChunkBinaryRoundTripAndOrder(t *testing.T) {
	a := Chunk{Pool: 1, PG: 255, Blob: Blob{Upload: NewUpload(7), Index: 3}, Slot: 5}
	enc := a.Append(nil)
	if len(enc) != ChunkBytes {
		t.Fatalf("%d bytes, want %d", len(enc), ChunkBytes)
	}
	got, err := ParseChunk(enc)
	if err != nil || got != a {
		t.Fatalf("got %v, %v", got, err)
	}
	b := a
	b.Slot++
	if bytes.Compare(enc, b.Append(nil)) >= 0 {
		t.Fatal("slots do not order")
	}
	b = a
	b.PG++
	b.Slot = 0
	if bytes.Compare(enc, b.Append(nil)) >= 0 {
		t.Fatal("groups do not order")
	}
	if _, err := ParseChunk(enc[1:]); err == nil {
		t.Fatal("short key accepted")
	}
}

func TestUploadCarriesItsStamp(t *testing.T) {
	if got := NewUpload(hlc.Stamp(1 << 40)).Stamp(); got != 1<<40 {
		t.Fatalf("got %d", got)
	}
	if a, b := NewUpload(1), NewUpload(1); a == b {
		t.Fatal("two uploads with one id")
	}
}

func TestTextRoundTrip(t *testing.T) {
	d := NewDrive()
	text, _ := d.MarshalText()
	var back Drive
	if err := back.UnmarshalText(text); err != nil || back != d {
		t.Fatalf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "zz", "00", string(text) + "00", "g" + string(text[1:])} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}
