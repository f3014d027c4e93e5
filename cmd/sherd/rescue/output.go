package rescue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Found is a line of the index that is written beside the objects: what is needed to store one again.
type Found struct {
	Bucket   string            `json:"bucket"`
	Key      string            `json:"key"`
	Size     int64             `json:"size"`
	ETag     string            `json:"etag,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Modified string            `json:"modified,omitempty"`
	File     string            `json:"file,omitempty"` // below the output directory; empty if it was not written
	Unlisted bool              `json:"unlisted,omitempty"`
	Problem  string            `json:"problem,omitempty"`
}

// output writes objects below a directory, and the index.
type output struct {
	dir   string
	index *os.File
}

const indexName = "index.jsonl"

func newOutput(dir string) (*output, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: give a new directory", dir)
	}
	f, err := os.Create(filepath.Join(dir, indexName))
	return &output{dir, f}, err
}

func (o *output) note(f Found) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = o.index.Write(append(line, '\n'))
	return err
}

// segmentBytes is the most that a name in a directory may have, on file systems that people use.
const segmentBytes = 255

// place is where an object's file goes: bucket and key as a path where that is possible, each segment escaped so
// that nothing leaves the directory; else a name made from the key's digest.
func place(bucket, key string) string {
	segments := []string{bucket}
	for s := range strings.SplitSeq(key, "/") {
		s = escapeSegment(s)
		if len(s) > segmentBytes {
			return digestPlace(bucket, key)
		}
		segments = append(segments, s)
	}
	if path := filepath.Join(segments...); len(path) < 2000 {
		return path
	}
	return digestPlace(bucket, key)
}

func digestPlace(bucket, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(bucket, "%by-digest", hex.EncodeToString(sum[:]))
}

// escapeSegment writes %XX for what a file's name cannot hold or should not: control bytes, backslash, % itself,
// and the names "", "." and "..".
func escapeSegment(s string) string {
	switch s {
	case "":
		return "%"
	case ".", "..":
		return strings.ReplaceAll(s, ".", "%2E")
	}
	var b strings.Builder
	for i := range len(s) {
		if ch := s[i]; ch < 0x20 || ch == 0x7f || ch == '\\' || ch == '%' {
			fmt.Fprintf(&b, "%%%02X", ch)
		} else {
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// create opens an object's file under a temporary name; finish gives it its own. A key that collides with a
// directory, or whose parent is a file (a beside a/b), goes to its digest's name.
func (o *output) create(bucket, key string) (f *os.File, path string, err error) {
	for _, path := range []string{place(bucket, key), digestPlace(bucket, key)} {
		full := filepath.Join(o.dir, path)
		if info, err := os.Stat(full); err == nil && info.IsDir() {
			continue
		}
		if os.MkdirAll(filepath.Dir(full), 0o755) != nil {
			continue
		}
		if f, err := os.CreateTemp(filepath.Dir(full), "%part-*"); err == nil {
			return f, path, nil
		}
	}
	return nil, "", fmt.Errorf("no file can be made for %q", key)
}

// finish closes f and, unless failed, gives it its name.
func (o *output) finish(f *os.File, path string, failed error) (string, error) {
	err := errors.Join(failed, f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return path, os.Rename(f.Name(), filepath.Join(o.dir, path))
}
