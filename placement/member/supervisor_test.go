package member

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStartAndRestart(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			opt := testOptions(t, n)
			var logged syncBuffer
			opt.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
			began := time.Now()
			s := start(t, opt)
			t.Logf("first start of %d members: %v", n, time.Since(began))
			put(t, s, "a", "1")
			s.Close()
			opt.Bootstrap = false
			began = time.Now()
			s = start(t, opt)
			t.Logf("restart: %v", time.Since(began))
			if got := get(t, s, "a"); got != "1" {
				t.Fatalf("a = %q after a restart", got)
			}
			began = time.Now()
			s.Close()
			t.Logf("close: %v", time.Since(began))
			if said := logged.String(); said != "" {
				t.Errorf("nothing went wrong, and the log says:\n%s", said)
			}
		})
	}
}

func TestI9_NothingIsMadeWithoutBootstrap(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 3)
	opt.Bootstrap = false
	if _, err := Start(testContext(t), opt); !errors.Is(err, ErrNoMembers) {
		t.Fatalf("error %v, want ErrNoMembers", err)
	}
}

// syncBuffer is a buffer that many goroutines write to.
type syncBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
