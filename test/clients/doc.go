// Package clients runs real S3 clients against the real binary: each does its ordinary work with its own defaults, and
// what comes back is compared byte for byte.
//
//	make clients                              all of them
//	make clients CLIENTS="rclone restic"      some
//	make boto3                                the one that `make test` runs
//	go test ./test/clients                    only that the folders are in order: nothing is installed or run
//
// Seen on two cores that others used too, 2026-11-22, in seconds: aws-sdk-go 5, minio-go 6, boto3 (two versions) 20, s3fs 20,
// chromium 23, restic 29, rclone 44, s3cmd 90, aws-sdk-js 10. The AWS CLI starts a process for each call: minutes for each of
// its versions, a quarter of an hour where the machine is busy.
//
// A client is a folder with two programs, install and run. Both get
//
//	BUILD     a directory where install leaves what run needs and no package manager keeps
//
// and run gets, for a server that was started for it alone,
//
//	ENDPOINT  its URL: http, a loopback address, path style
//	AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_DEFAULT_REGION
//	WORKDIR   its working directory, with tree (many small files, some with awkward names) and big (40 MiB and a bit:
//	          parts, whatever the client's part size); HOME is below it and empty
//
// It prints what it did and exits with 0; with 77 where the client cannot work on this machine, the reason being its
// last line; and with anything else where something is wrong. On SIGTERM it ends what it started. Afterwards the
// server must have answered nothing with a 5xx but 501 NotImplemented, and must end in order.
package clients
