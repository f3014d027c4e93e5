// Package form reads uploads that browsers send as forms (POST Object): fields, then one file, as
// multipart/form-data; and the policy among the fields, which says what the form may say.
//
// Invariants:
//   - What comes ahead of the file is at most 20 KiB and 100 fields; it is all that is held in memory.
//   - The file is streamed: its length is certain at its end only (Form.FileBytes says what it has to be where nothing
//     follows it), and its end is reported only after what follows it was read, so that what the body's reader checks
//     at its own end was checked.
//   - A field's name has no case, and comes once. Policy.Check judges the very values that Form.Fields has.
//
// The signature over the policy is package sigv4's: VerifyPost takes Form.Fields.
//
// Sources: Amazon S3 API Reference: RESTObjectPOST, sigv4-HTTPPOSTForms, sigv4-HTTPPOSTConstructPolicy; RFC 7578.
package form
