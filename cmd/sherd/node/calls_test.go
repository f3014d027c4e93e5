package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A call may take longer than its request may take to come; one whose request does not come ends.
func TestCallsTakeTheirTime(t *testing.T) {
	const within = 50 * time.Millisecond
	slow := nodeCall(func(ctx context.Context, _ string, body []byte) (any, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(4 * within):
			return string(body), nil
		}
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { slow.serve(w, r, within) }))
	defer s.Close()
	resp, err := http.Post(s.URL, "application/json", strings.NewReader("x"))
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a call that takes its time: %s", resp.Status)
	}
	never, end := context.WithCancel(t.Context())
	defer end()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, neverEnding{never})
	must(t, err)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a request that does not come: %s", resp.Status)
		}
	}
}

// neverEnding is a body that does not come until ctx ends.
type neverEnding struct{ ctx context.Context }

func (b neverEnding) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}
