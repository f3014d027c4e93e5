// Package s3xml holds the wire shapes of S3: request documents are read with limits, answers are appended to
// a []byte.
//
// Readers use encoding/xml's tokenizer, ignore namespaces, and refuse document types and whatever is deeper, longer or
// more than S3 takes. An element that they do not know is refused too, for it may ask for something; only
// CompleteMultipartUpload's are passed over, as S3 does. Writers allocate nothing but the growth of what they append
// to; they write elements in S3's order, and never fail.
//
// Invariants:
//   - Every document a writer makes is well-formed but for characters that XML 1.0 cannot hold: those are
//     written as numeric references, as S3 does, and clients that may meet them ask for encoding-type=url.
//   - A reader holds no more than the values it returns, and those are bounded by the limits beside it.
//   - Every answer begins with Prolog, so that a slow operation may send it, and white space, ahead.
//
// Source: Amazon S3 API Reference, the pages named after each operation; AmazonS3.xsd for the namespace.
package s3xml
