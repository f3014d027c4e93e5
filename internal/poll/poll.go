// Package poll is for tests of what gives no event to wait for: other processes, drives, counters that only grow.
// Whatever can be awaited by a channel, or is in a testing/synctest bubble, is awaited there.
package poll

import (
	"errors"
	"testing"
	"time"
)

// Within is long enough for anything that a test waits for on a slow, busy machine.
const Within = 2 * time.Minute

// The first looks follow each other closely, for what takes no time; later ones leave the machine to what is awaited.
const (
	pauseMin = time.Millisecond
	pauseMax = 50 * time.Millisecond
)

var errNotYet = errors.New("not yet")

// True waits until ok says so, and fails the test if it does not within that time.
func True(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	Nil(t, within, what, func() error {
		if !ok() {
			return errNotYet
		}
		return nil
	})
}

// Nil waits until check gives no error, and fails the test with its last if it does not within that time. It looks at
// least once.
func Nil(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(pause)
	}
}
