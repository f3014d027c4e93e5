package bufpool

import (
	"testing"
	"unsafe"
)

func TestBuffersAreAlignedAndAsLongAsAsked(t *testing.T) {
	var p Pool
	for _, n := range []int{0, 1, 4095, 4096, 4097, 256 << 10, 1 << 20, 1<<20 + 1, 16 << 20, 16<<20 + 1} {
		b := p.Get(n)
		if len(b.B) != n {
			t.Fatalf("got %d bytes, want %d", len(b.B), n)
		}
		if n > 0 && uintptr(unsafe.Pointer(&b.B[0]))%Align != 0 {
			t.Fatalf("%d bytes: not aligned", n)
		}
		b.Release()
	}
	if p.Lent() != 0 {
		t.Fatalf("%d bytes still lent", p.Lent())
	}
}

func TestRetainKeepsUntilTheLastRelease(t *testing.T) {
	var p Pool
	b := p.Get(10)
	b.Retain()
	b.Release()
	if b.B == nil || p.Lent() == 0 {
		t.Fatal("given back too early")
	}
	b.Release()
	if p.Lent() != 0 {
		t.Fatal("not given back")
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a third release went unseen")
		}
	}()
	b.Release()
}
