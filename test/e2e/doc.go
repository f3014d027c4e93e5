// Package e2e holds the tests that run the real binary: started, killed, robbed of drives, and asked by real
// clients. They use loopback ports and temporary directories alone.
//
//	go test ./test/e2e/                          small counts, as in `make test`
//	go test ./test/e2e/ -args -soak              full counts, as in `make soak`
//	go test ./test/e2e/ -args -seed 42           the same random choices again
//	go test ./test/e2e/ -args -race-server       a server built with the race detector
//	go test ./test/e2e/ -args -keep              leave drives and logs in place
package e2e
