package replica

// Log is what a host needs of its drive's segment log. disk/segment's is one, through SegmentLog.
type Log interface {
	// Append writes recs in order. done is called once, from any goroutine, after they are on stable storage (nil) or
	// with the error that ends all appends; positions are recs' own, in order, and valid until done returns.
	// recs are borrowed until then.
	Append(recs [][]byte, done func([]Pos, error))
	// Read returns the record at p; the caller owns the bytes.
	Read(p Pos) ([]byte, error)
	// Scan calls fn with each record, oldest first. The bytes are borrowed.
	Scan(fn func(Pos, []byte) error) error
	// Release says that no record in a segment below n is needed any more.
	Release(n uint64) error
}

// Pos is where a record lies.
type Pos struct {
	Segment uint64
	Offset  uint32
	Bytes   uint32
}

// segmentPos is any type that is laid out as Pos: meta does not import disk.
type segmentPos interface {
	~struct {
		Segment uint64
		Offset  uint32
		Bytes   uint32
	}
}

// Segments is disk/segment.Log, whose position type is P.
type Segments[P segmentPos] interface {
	Append(recs [][]byte, done func([]P, error))
	Read(p P) ([]byte, error)
	Scan(fn func(P, []byte) error) error
	Release(n uint64) error
}

// SegmentLog makes a Log of disk/segment's.
func SegmentLog[P segmentPos](l Segments[P]) Log { return segmentLog[P]{l} }

type segmentLog[P segmentPos] struct{ l Segments[P] }

func (s segmentLog[P]) Append(recs [][]byte, done func([]Pos, error)) {
	s.l.Append(recs, func(at []P, err error) {
		pos := make([]Pos, len(at))
		for i, p := range at {
			pos[i] = Pos(p)
		}
		done(pos, err)
	})
}

func (s segmentLog[P]) Read(p Pos) ([]byte, error) { return s.l.Read(P(p)) }

func (s segmentLog[P]) Scan(fn func(Pos, []byte) error) error {
	return s.l.Scan(func(p P, b []byte) error { return fn(Pos(p), b) })
}

func (s segmentLog[P]) Release(n uint64) error { return s.l.Release(n) }
