// Package cors decides what pages of other origins may do with a bucket: rules and requests in, headers out. It is pure.
//
// Invariants:
//   - The first rule that matches counts, alone; without one an answer has no header of this package.
//   - A preflight is refused where no rule matches; an actual request never is: the browser keeps its answer from the page.
//   - CORS gives no permission: policies and ACLs apply as ever.
//
// Sources: Amazon S3 User Guide, "Using cross-origin resource sharing (CORS)", "Elements of a CORS configuration",
// "Testing CORS"; API_PutBucketCors, API_CORSRule, RESTOPTIONSobject; WHATWG Fetch, "CORS protocol". What the
// documentation leaves open is as S3 was seen to answer.
package cors
