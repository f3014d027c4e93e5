// Package iam answers the AWS IAM query API (version 2010-05-08) and sts GetCallerIdentity (2011-06-15), apart from HTTP:
// form parameters in, a status and an XML document out. The same protocol has three actions of our own, for accounts.
//
// A request goes: operation (one table) → parameters (their shapes are in the table) → permission, asked of Options.Authorize
// for the very state of the records that the answer is made from → the operation. All changes are made inside
// Records.EditIAM, so the rules (uniqueness, limits, delete conflicts) are plain Go over one immutable map.
//
// Invariants:
//   - Nobody but an account's root learns or changes anything that Options.Authorize did not allow. (A refusal names what was asked
//     for by its ARN, with the path that it has, as AWS's does.)
//   - Nobody reads or changes another account's records. Accounts themselves are the default account's root's.
//   - A secret leaves this package once: in the answer to CreateAccessKey or CreateAccount.
//   - An account keeps at least one active access key of its root, if it has one.
//
// Source: AWS Identity and Access Management API Reference; the service model in botocore (iam/2010-05-08/service-2.json), of
// which testdata/model.json is an extract that all answers are checked against; the Service Authorization Reference, page IAM.
package iam
