// Package s3 is the conformance suite: what a client of the S3 API relies on, one small case for each promise, against the
// real binary. A case names the page of the S3 documentation, or the behaviour of an SDK, that it stands on.
//
//	go test ./test/s3/                                           one server with six drives, built and started here
//	go test ./test/s3/ -run 'TestConformance/GetObject'          one group of cases
//	go test ./test/s3/ -args -endpoint http://HOST:PORT -access-key AK -secret-key SK
//	                                                             any other S3 server, with root's credentials there
//
// A case is given steps, which must succeed, one request that is looked at, and what is wanted of its answer. Every
// case has a bucket of its own, runs beside others and cleans up after itself.
//
// Which operation a request means is asked of the router (gateway.OperationOf). If a case needs one that the router's
// table does not serve yet, the case must find 501 NotImplemented there and counts as waiting; from the day the
// operation is served, the case holds. Nothing else is left out: a case that cannot run fails.
package s3
