package poll

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a test that notes its failure.
type failing struct {
	testing.TB
	text string
}

// Helper implements testing.TB.
func (f *failing) Helper() {}

// Fatalf implements testing.TB.
func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		Nil(t, time.Minute, "never", func() error {
			if time.Since(begin) < 10*time.Second {
				return errors.New("early")
			}
			return nil
		})
		if took := time.Since(begin); took > 10*time.Second+pauseMax {
			t.Errorf("seen %s late", took-10*time.Second)
		}
		True(t, 0, "it looks once", func() bool { return true })
	})
}

func TestNilGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{}
		var wg sync.WaitGroup
		wg.Go(func() { True(f, time.Second, "the sun", func() bool { return false }) })
		wg.Wait()
		if f.text != "the sun: not within 1s: not yet" {
			t.Error(f.text)
		}
	})
}
