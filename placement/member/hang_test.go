package member

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sherd-io/sherd/internal/poll"
)

// A drive that hangs, and should have a member, keeps nobody from the others; and gets its member when it answers.
func TestHangingDriveHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 4)
	hanging := opt.Drives[3]
	opt.Drives, opt.Want = opt.Drives[:3], opt.Want[:3]
	var asked atomic.Int32
	answer := make(chan struct{})
	opt.Usable = func(h Host) error {
		if h == hanging {
			asked.Add(1)
			<-answer
		}
		return identified(h)
	}
	s := start(t, opt)
	release := sync.OnceFunc(func() { close(answer) })
	defer release() // or Close would wait
	reconciled := make(chan error, 1)
	go func() { reconciled <- s.Reconcile(testContext(t), append(opt.Drives[:3:3], hanging)) }()
	poll.True(t, poll.Within, "the drive to be asked", func() bool { return asked.Load() > 0 })
	served := make(chan error, 1)
	go func() {
		if n := len(s.Members()); n != 3 {
			served <- errors.New("not three members")
			return
		}
		c, err := s.Dial(testContext(t), "")
		if err == nil {
			c.Close()
		}
		served <- err
	}()
	for _, done := range []chan error{served, reconciled} {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-testContext(t).Done():
			t.Fatal("it waits for a drive that hangs")
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("a drive that hangs was asked %d times", n)
	}
	release()
	awaitMembers(t, s, 4)
}
