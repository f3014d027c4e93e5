package gateway

import "net/http"

// continueEmpty answers Expect: 100-continue of a request whose body is empty. net/http sends the 100 when a handler
// reads the body, so never here; and botocore (the aws CLI), given a final answer without one on a connection that
// stays open, reads the next answer on it wrongly and waits until its time-out.
func continueEmpty(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 && r.Header.Get("Expect") != "" && r.ProtoAtLeast(1, 1) {
		w.WriteHeader(http.StatusContinue)
	}
}
