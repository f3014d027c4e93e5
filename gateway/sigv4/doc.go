// Package sigv4 turns a request into who sent it, and a signed body into its bytes: AWS Signature
// Version 4 as S3 speaks it, in the Authorization header, in the query (presigned), in POST forms, and
// over streamed bodies (aws-chunked, signed or not, with or without trailers). It also signs. Presigned URLs and POST forms
// may be signed by Version 2.
//
// It is pure: the clock and the credentials are given, nothing is kept but a bounded cache of signing
// keys and pooled buffers.
//
// Invariants:
//   - A request with any trace of credentials is never called anonymous.
//   - Bytes that a BodyReader hands out are not yet trusted. They are once Read has returned io.EOF or
//     Finish nil: only then every digest, chunk signature, trailer and length held. Who commits without
//     one of the two commits what nobody signed.
//   - Signatures are compared in constant time.
//   - What a client sends can cost memory only up to fixed bounds: a chunk header line, the trailers.
//
// Source: "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API Reference, pages
// sig-v4-header-based-auth, sigv4-query-string-auth, sigv4-streaming, sigv4-streaming-trailers,
// sigv4-authentication-HTTPPOST.
package sigv4
