package disk

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/chunk"
	"github.com/sherd-io/sherd/disk/segment"
	"github.com/sherd-io/sherd/internal/bufpool"
	"github.com/sherd-io/sherd/internal/ids"
)

// Salvaged is a chunk that Salvage found.
type Salvaged struct {
	Header chunk.Header
	Footer chunk.Footer
	Path   string // of the segment or chunk file
	Offset int64  // of the payload in it
	Bad    []int  // blocks whose checksum does not hold, in order; none: the chunk is whole
	Seq    uint64 // of two copies in segments the higher one is the newer; 0 for a file
	number uint64 // of a chunk file
	fs     vfs.FS //
}

// ReadPayload reads the payload, all of it, without looking at checksums: Bad says which blocks to trust.
func (s *Salvaged) ReadPayload() ([]byte, error) {
	f, err := s.fs.Open(s.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, s.Footer.ShardBytes)
	return b, readFull(f, b, s.Offset)
}

// SalvageReport says what Salvage met besides chunks.
type SalvageReport struct {
	Segments, Files int
	Deleted         map[ids.Chunk]bool // tombstones: these chunks were deleted once
	Damages         []segment.Damage
	Errs            []error // segments and files that could not be read at all
}

// Salvage reads every chunk out of a bare drive directory: no index, no lock, nothing changed, nothing trusted but
// checksums. It goes on past damage. fn's error ends it. Chunks come in no order, more than once if there are copies, and
// also when a tombstone covers them: the report says so.
func Salvage(fs vfs.FS, path string, fn func(*Salvaged) error) (*SalvageReport, error) {
	report := &SalvageReport{Deleted: make(map[ids.Chunk]bool)}
	dirs := []string{fs.PathJoin(path, chunksName)}
	if days, err := fs.List(fs.PathJoin(path, quarantineName)); err == nil {
		for _, day := range days {
			dirs = append(dirs, fs.PathJoin(path, quarantineName, day))
		}
	}
	for _, dir := range dirs {
		names, err := fs.List(dir)
		if err != nil {
			if !oserror.IsNotExist(err) {
				report.Errs = append(report.Errs, err)
			}
			continue
		}
		slices.Sort(names)
		for _, name := range names {
			var err error
			switch file := fs.PathJoin(dir, name); {
			case segment.IsSegment(name):
				report.Segments++
				err = report.segment(fs, dir, name, fn)
			case strings.HasSuffix(name, fileSuffix):
				report.Files++
				err = report.file(fs, file, fn)
			}
			if err != nil {
				return report, err
			}
		}
	}
	return report, nil
}

func (rep *SalvageReport) segment(fs vfs.FS, dir, name string, fn func(*Salvaged) error) error {
	path := fs.PathJoin(dir, name)
	var stop error
	damages, err := segment.ScanFile(fs, dir, name, func(f io.ReaderAt, r segment.Record) error {
		rec, err := chunk.ParseRecord(r.Head)
		switch {
		case err != nil:
			rep.Errs = append(rep.Errs, fmt.Errorf("%s at %d: %w", path, r.Pos.Offset, err))
		case rec.Kind == chunk.KindTombstone:
			for _, k := range rec.Keys {
				rep.Deleted[k] = true
			}
		case rec.Kind == chunk.KindChunk:
			s := &Salvaged{Header: rec.Header, Footer: rec.Footer, Path: path, Offset: int64(r.Body), Seq: r.Seq, fs: fs}
			if err := s.check(f, rec.Sums); err != nil {
				rep.Errs = append(rep.Errs, fmt.Errorf("%s at %d: %w", path, r.Body, err))
				return nil
			}
			stop = fn(s)
			return stop
		}
		return nil
	})
	rep.Damages = append(rep.Damages, damages...)
	if stop != nil {
		return stop
	}
	if err != nil {
		rep.Errs = append(rep.Errs, fmt.Errorf("%s: %w", path, err))
	}
	return nil
}

func (rep *SalvageReport) file(fs vfs.FS, path string, fn func(*Salvaged) error) error {
	f, err := fs.Open(path)
	if err != nil {
		rep.Errs = append(rep.Errs, err)
		return nil
	}
	defer f.Close()
	s, err := readChunkFile(f)
	if err != nil {
		rep.Errs = append(rep.Errs, fmt.Errorf("%s: %w", path, err))
		return nil
	}
	s.Path, s.fs = path, fs
	return fn(s)
}

// readChunkFile reads and checks a chunk file.
func readChunkFile(f vfs.File) (*Salvaged, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if stat.Size() < chunk.FileHeaderBytes+chunk.FileFooterBytes {
		return nil, fmt.Errorf("%w: chunk file of %d bytes", ErrCorrupt, stat.Size())
	}
	foot := make([]byte, chunk.FileFooterBytes)
	if err := readFull(f, foot, stat.Size()-chunk.FileFooterBytes); err != nil {
		return nil, err
	}
	footer, _, err := chunk.ParseFooter(foot)
	if err != nil || chunk.FileBytes(footer.ShardBytes) != stat.Size() {
		return nil, fmt.Errorf("%w: chunk file was not sealed", ErrCorrupt)
	}
	trailer := make([]byte, chunk.TrailerBytes(footer.ShardBytes))
	if err := readFull(f, trailer, chunk.TrailerOffset(footer.ShardBytes)); err != nil {
		return nil, err
	}
	sums, number, footer, err := chunk.ParseTrailer(trailer)
	if err != nil {
		return nil, fmt.Errorf("%w: trailer: %w", ErrCorrupt, err)
	}
	head := make([]byte, chunk.FileHeaderBytes)
	if err := readFull(f, head, 0); err != nil {
		return nil, err
	}
	s := &Salvaged{Footer: footer, Offset: chunk.FileHeaderBytes, number: number}
	if s.Header, err = chunk.ParseFileHeader(head); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrCorrupt, err)
	}
	return s, s.check(f, sums)
}

// check fills s.Bad.
func (s *Salvaged) check(f io.ReaderAt, sums []byte) error {
	summer := chunk.NewSummer(s.Header.Key)
	size := int64(s.Footer.ShardBytes)
	buf := new(bufpool.Pool).Get(int(min(size, 1<<20)))
	for off := int64(0); off < size; off += int64(len(buf.B)) {
		b := buf.B[:min(int64(len(buf.B)), size-off)]
		n, err := f.ReadAt(b, s.Offset+off)
		if err != nil && !errors.Is(err, io.EOF) && n == 0 {
			return err
		}
		clear(b[n:])
		for at := 0; at < len(b); at += chunk.BlockBytes {
			block := b[at:min(at+chunk.BlockBytes, len(b))]
			number := (off + int64(at)) / chunk.BlockBytes
			if !summer.Verify(sums, uint64(number), block) {
				s.Bad = append(s.Bad, int(number))
			}
		}
	}
	return nil
}
