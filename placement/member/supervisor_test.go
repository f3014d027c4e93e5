package member

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestStartAndRestart(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			opt := testOptions(t, n)
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
		})
	}
}

func TestI9_NothingIsMadeWithoutBootstrap(t *testing.T) {
	opt := testOptions(t, 3)
	opt.Bootstrap = false
	if _, err := Start(testContext(t), opt); !errors.Is(err, ErrNoMembers) {
		t.Fatalf("error %v, want ErrNoMembers", err)
	}
}
