package pebbleguard

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/sstable/blob"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const blobExt = ".blob"

// Guard returns fs with an Open that refuses a blob file that has a damaged footer or is gone, with an error that is neither marked as
// corruption nor one that Pebble marks so, after it told corrupt. corrupt is called in the goroutine that reads.
func Guard(fs vfs.FS, corrupt func(path string, err error)) vfs.FS { return &guarded{fs, corrupt} }

type guarded struct {
	vfs.FS
	corrupt func(path string, err error)
}

// Unwrap gives the file system beneath.
func (g *guarded) Unwrap() vfs.FS { return g.FS }

// Open opens a file for reading.
func (g *guarded) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := g.FS.Open(name, opts...)
	switch {
	case filepath.Ext(name) != blobExt:
		return f, err
	case oserror.IsNotExist(err): // its directory was wiped under the handle, say
		g.corrupt(name, err)
		return nil, fmt.Errorf("%s is gone: %v", name, err)
	case err != nil:
		return nil, err
	}
	if err := checkFooter(f); pebble.IsCorruptionError(err) {
		f.Close()
		g.corrupt(name, err)
		return nil, fmt.Errorf("%s is damaged: %v", name, err) // not wrapped: see above
	}
	return f, nil // other errors Pebble meets itself
}

// ErrMissing reports that a blob file is gone.
var ErrMissing = errors.New("pebbleguard: a blob file is missing")

// Blobs counts the blob files in a directory.
func Blobs(fs vfs.FS, dir string) (n int, err error) {
	names, err := fs.List(dir)
	for _, name := range names {
		if filepath.Ext(name) == blobExt {
			n++
		}
	}
	return n, err
}

// CheckBlobs compares what db refers to with how many blob files there were before it was opened, for Pebble does not look. Files
// that nothing refers to any more may hide that one is gone; Pebble removes those soon after each opening. Errors: ErrMissing.
func CheckBlobs(db *pebble.DB, before int) error {
	if live := db.Metrics().BlobFiles.LiveCount; live > uint64(before) {
		return fmt.Errorf("%w: %d of %d are there", ErrMissing, before, live)
	}
	return nil
}

// checkFooter reads as Pebble will.
func checkFooter(f vfs.File) error {
	r, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return err
	}
	_, err = blob.NewFileReader(context.Background(), r, blob.FileReaderOptions{}) // closing it would close f
	return err
}
