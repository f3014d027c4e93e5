// Package keys is the layout of object records on a drive: which table a row lies in, how its key is
// built, and the fixed values that are not protobuf. It is pure: bytes in, bytes out.
//
// Every row key begins with a table byte. Bytes below FirstTable belong to package disk.
//
//	table  byte  key after the table byte                          value
//	0x10   versions   route, inverted stamp (8)                    Head, then metapb.Details
//	0x11   inline     route, inverted stamp (8)                    the body's bytes
//	0x12   extents    route, inverted stamp (8), offset (8)        metapb.Extent of a finished multipart body
//	0x13   uploads    route, S3 upload id (16)                     metapb.Upload, unfinished
//	0x14   parts      route, S3 upload id (16), part number (4)    metapb.Extent
//	0x15   done       route, S3 upload id (16)                     metapb.Upload, finished: kept for 7 days (I21)
//	0x16   repair     route, body's upload id (16), blob (4), slot (1)   metapb.Repair without bucket, key, upload, blob, slot
//	0x17   reclaim    route, body's upload id (16)                 died (8), then metapb.Extent
//	0x18   nulls      route                                        stamp (8) of the key's null version, if it is not the newest
//	0x20   requests   range (8), request id (16)                   metapb.Result
//	0x21   counters   range (8), bucket (8)                        Counters
//	0x22   seals      range (8), bucket (8)                        empty
//	0x23   expiry     range (8), finished (8), route, S3 upload id (16)  empty: when a done row goes
//	0x24   applied    range (8)                                    Applied
//	0x25   rules      range (8), bucket (8)                        metapb.Rules: what decides the fate of the bucket's data (I11)
//	0x26   splits     range (8)                                    metapb.SplitState: of a split that is prepared, or just behind (I20)
//	0x27   pools      range (8), pool (2)                          empty: bodies in that pool are refused
//	0x2f   own        range (8), replica (8), kind (1)             what package meta/replica says; one replica's, not replicated
//
// All integers are big-endian. A route is bucket (8), escaped key, terminator: see Route. All tables
// below 0x20 begin with it, so that they split at the same (bucket, key) and a range splits without
// moving a row; the rest are keyed by range id.
//
// Invariants:
//   - Routes order as (bucket, key bytes) and none is a prefix of another.
//   - A stamp is stored inverted, so the newest version of a key comes first.
//   - A version's id is its stamp, if its head has flag Versioned; else it is the key's null version, of which there is at most
//     one: the newest version or the one that the key's row of nulls names, and there is such a row only for one that is not the
//     newest. So either is found by one look-up, however many versions there are.
//   - A head has flag Retained if and only if its Details have a lock.
//   - Comparer orders all keys bytewise. Its Split cuts the stamp off versions and inline keys only, so
//     that a seek for one object key uses the bloom filters.
//   - Decoders take any bytes: they answer ErrCorrupt, never panic.
package keys
