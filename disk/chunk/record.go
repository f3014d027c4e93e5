package chunk

import (
	"encoding/binary"

	"github.com/sherd-io/sherd/internal/ids"
)

// Kind is the kind of a record of the chunk log.
type Kind uint8

const (
	KindChunk     Kind = 1 // a whole chunk; its payload is the record's body
	KindFile      Kind = 2 // a chunk that is a file of its own, sealed
	KindTombstone Kind = 3 // keys that are deleted and refuse later writes (I16)
	KindDropped   Kind = 4 // keys that are gone from the drive, and may be written again (quarantine)
	KindEpoch     Kind = 5 // the least PG epoch under which a chunk may be sealed (I5)
)

// RecordVersion is the version of the record format that is written.
const RecordVersion = 1

// KeysMax is the most keys of one KindTombstone or KindDropped record.
const KeysMax = 4096

// Record is one record of the chunk log, decoded. The segment's record header, whose CRC-32C covers
// all bytes below, stands before it; the payload of a KindChunk follows as the record's body.
//
//	offset  bytes  field
//	0       1      kind
//	1       1      version, now 1
//	2       ...    by kind
//
// KindChunk: header and footer fields (see fieldBytes), 8 bytes of checksum for each block. The footer stands before
// the payload here: a chunk of at most PutMax bytes is known whole when it is written, in one write and one sync, and
// its block checksums show whether the payload followed (I16).
//
// KindFile: 8 bytes of file number, header and footer fields.
//
// KindTombstone, KindDropped: 8 bytes of wall time in milliseconds, then keys of 25 bytes.
//
// KindEpoch: 2 bytes of pool, 2 of PG, 8 of epoch; once or more, or not at all where the record is there for what the index forgets along with it.
type Record struct {
	Kind   Kind
	Header Header
	Footer Footer
	Sums   []byte // KindChunk; aliases what was parsed
	File   uint64 // KindFile
	Millis int64  // KindTombstone, KindDropped
	Keys   []ids.Chunk
	Epochs []Epoch
}

// Epoch is the least epoch under which a drive seals chunks of a PG.
type Epoch struct {
	Pool  ids.Pool
	PG    ids.PG
	Epoch uint64
}

const epochBytes = 12

// AppendChunk appends a KindChunk record without its block checksums: the caller appends
// Blocks(f.ShardBytes) of them.
func AppendChunk(b []byte, h *Header, f *Footer) []byte {
	b = append(b, byte(KindChunk), RecordVersion)
	return appendFields(b, h, f)
}

// AppendFile appends a KindFile record.
func AppendFile(b []byte, file uint64, h *Header, f *Footer) []byte {
	b = append(b, byte(KindFile), RecordVersion)
	b = binary.LittleEndian.AppendUint64(b, file)
	return appendFields(b, h, f)
}

// AppendKeys appends a KindTombstone or KindDropped record.
func AppendKeys(b []byte, kind Kind, millis int64, keys []ids.Chunk) []byte {
	b = append(b, byte(kind), RecordVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(millis))
	for _, k := range keys {
		b = k.Append(b)
	}
	return b
}

// AppendEpochs appends a KindEpoch record.
func AppendEpochs(b []byte, epochs ...Epoch) []byte {
	b = append(b, byte(KindEpoch), RecordVersion)
	for _, e := range epochs {
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Pool))
		b = binary.LittleEndian.AppendUint16(b, uint16(e.PG))
		b = binary.LittleEndian.AppendUint64(b, e.Epoch)
	}
	return b
}

// ParseRecord decodes one record. The only error is ErrMalformed.
func ParseRecord(b []byte) (r Record, err error) {
	if len(b) < 2 || b[1] != RecordVersion {
		return r, ErrMalformed
	}
	r.Kind = Kind(b[0])
	b = b[2:]
	switch r.Kind {
	case KindChunk:
		r.Header, r.Footer, r.Sums, err = parseFields(b)
		if err == nil && (r.Footer.ShardBytes > PutMax || len(r.Sums) != Blocks(r.Footer.ShardBytes)*SumBytes) {
			err = ErrMalformed
		}
	case KindFile:
		err = r.parseFile(b)
	case KindTombstone, KindDropped:
		err = r.parseKeys(b)
	case KindEpoch:
		err = r.parseEpochs(b)
	default:
		err = ErrMalformed
	}
	return r, err
}

func (r *Record) parseFile(b []byte) (err error) {
	if len(b) < 8 {
		return ErrMalformed
	}
	r.File = binary.LittleEndian.Uint64(b)
	r.Header, r.Footer, b, err = parseFields(b[8:])
	if err == nil && len(b) != 0 {
		return ErrMalformed
	}
	return err
}

func (r *Record) parseKeys(b []byte) error {
	if len(b) < 8 || (len(b)-8)%ids.ChunkBytes != 0 {
		return ErrMalformed
	}
	r.Millis = int64(binary.LittleEndian.Uint64(b))
	b = b[8:]
	r.Keys = make([]ids.Chunk, 0, len(b)/ids.ChunkBytes)
	for ; len(b) > 0; b = b[ids.ChunkBytes:] {
		k, err := ids.ParseChunk(b[:ids.ChunkBytes])
		if err != nil {
			return ErrMalformed
		}
		r.Keys = append(r.Keys, k)
	}
	return nil
}

func (r *Record) parseEpochs(b []byte) error {
	if len(b)%epochBytes != 0 {
		return ErrMalformed
	}
	for ; len(b) > 0; b = b[epochBytes:] {
		r.Epochs = append(r.Epochs, Epoch{
			Pool:  ids.Pool(binary.LittleEndian.Uint16(b)),
			PG:    ids.PG(binary.LittleEndian.Uint16(b[2:])),
			Epoch: binary.LittleEndian.Uint64(b[4:]),
		})
	}
	return nil
}
