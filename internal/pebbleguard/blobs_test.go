package pebbleguard

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func options(fs vfs.FS) *pebble.Options {
	opt := &pebble.Options{FS: fs, Logger: quiet{}, FormatMajorVersion: pebble.FormatValueSeparation, DisableWAL: true}
	opt.EventListener = &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
	opt.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 100, MaxBlobReferenceDepth: 8, TargetGarbageRatio: 0.3}
	}
	return opt
}

// TestDamagedValues turns over one bit of each byte of a blob file in turn: reading gives the value or an error, never a panic.
func TestDamagedValues(t *testing.T) {
	mem := vfs.NewMem()
	value := bytes.Repeat([]byte("v"), 1000)
	db, err := pebble.Open("db", options(mem))
	check(t, err)
	check(t, db.Set([]byte("k"), value, pebble.NoSync))
	check(t, db.Flush())
	check(t, db.Close())
	names, err := mem.List("db")
	check(t, err)
	var file string
	for _, name := range names {
		if path.Ext(name) == ".blob" {
			file = "db/" + name
		}
	}
	data, err := mem.UnsafeGetFileDataBuffer(file)
	check(t, err)
	told, refused := 0, 0
	for at := range data {
		data[at] ^= 1
		db, err := pebble.Open("db", options(Guard(mem, func(string, error) { told++ })))
		check(t, err)
		got, closer, err := db.Get([]byte("k"))
		same := bytes.Equal(got, value)
		if err == nil {
			err = closer.Close() // tells whether the value could be had
		}
		if err != nil {
			refused++
		} else if !same {
			t.Errorf("byte %d: a wrong value", at)
		}
		check(t, db.Close())
		data[at] ^= 1
	}
	if before, err := Blobs(mem, "db"); err != nil || before != 1 {
		t.Fatal(before, err)
	}
	gone := 0
	db, err = pebble.Open("db", options(Guard(mem, func(string, error) { gone++ })))
	check(t, err)
	check(t, mem.Remove(file))
	_, closer, err := db.Get([]byte("k"))
	if err == nil {
		err = closer.Close()
	}
	if err == nil || gone == 0 {
		t.Errorf("a value whose file is gone: %v, told %d times", err, gone)
	}
	check(t, db.Close())
	db, err = pebble.Open("db", options(mem))
	check(t, err)
	if err := CheckBlobs(db, 1); err != nil {
		t.Error(err)
	}
	if err := CheckBlobs(db, 0); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	check(t, db.Close())
	if told == 0 || refused <= told {
		t.Errorf("%d of %d damages refused, %d of them in the footer", refused, len(data), told)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
