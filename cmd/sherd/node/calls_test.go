package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestHungNodesAreAskedAtOnce: however many do not answer, they cost what one does, and the others are heard.
func TestHungNodesAreAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peers{client: &http.Client{Transport: answers(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Host, "hung") {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`"` + r.URL.Host + `"`))}, nil
		})}}
		nodes := []string{"n1", "n2"}
		for i := range 30 {
			nodes = append(nodes, fmt.Sprint("hung", i))
		}
		began := time.Now()
		got, err := callAll[string](t.Context(), p, nodes, "GET", "/reached", nil)
		if took := time.Since(began); took != callWithin {
			t.Errorf("took %v, want %v", took, callWithin)
		}
		if len(got) != 2 || got["n1"] != "n1" || got["n2"] != "n2" {
			t.Errorf("answers: %v", got)
		}
		if !errors.Is(err, context.DeadlineExceeded) || strings.Count(err.Error(), "node hung") != 30 {
			t.Errorf("silent: %v", err)
		}
	})
}

// answers is a transport that is a function.
type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A call may take longer than its request may take to come; one whose request does not come ends.
func TestCallsTakeTheirTime(t *testing.T) {
	const within = time.Second
	slow := nodeCall(func(ctx context.Context, _ string, body []byte) (any, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * within):
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
