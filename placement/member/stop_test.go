package member

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sherd-io/sherd/internal/poll"
)

// eventsOf are the events of a member so far.
func eventsOf(logged *syncBuffer, name string) (all []string) {
	form := regexp.MustCompile(`event=(\w+) member=` + name)
	for _, m := range form.FindAllStringSubmatch(logged.String(), -1) {
		all = append(all, m[1])
	}
	return all
}

// recordEvents has the supervisor's log kept.
func recordEvents(opt *Options) *syncBuffer {
	var logged syncBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &logged
}

// awaitEvent waits until a member has had one so many times.
func awaitEvent(t *testing.T, logged *syncBuffer, name, event string, times int) {
	t.Helper()
	poll.True(t, poll.Within, event, func() bool {
		events := eventsOf(logged, name)
		return len(slices.DeleteFunc(events, func(e string) bool { return e != event })) >= times
	})
}

// A member whose drive was away for a moment is ready again and stays so, though what is left of it from before takes
// seconds to close and removes its sockets then.
func TestMemberStartsAgainAfterItsFormerSelfHasClosed(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 1)
	logged := recordEvents(&opt)
	s := start(t, opt)
	put(t, s, "a", "1")
	name := s.Members()[0].Name
	// A watch of a client that does not hang up: etcd waits for it while it closes.
	holds, err := s.clientOf(target{name: name})
	if err != nil {
		t.Fatal(err)
	}
	defer holds.Close()
	if created := <-holds.Watch(testContext(t), "n", clientv3.WithCreatedNotify()); !created.Created {
		t.Fatalf("watch: %+v", created)
	}

	identity := filepath.Join(pathOf(s, 0), "sherd.json")
	if err := os.Rename(identity, identity+".away"); err != nil {
		t.Fatal(err)
	}
	if err := s.await(testContext(t), func() bool { return s.lost[name].kind == lossAway && len(s.ready) == 0 }); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(identity+".away", identity); err != nil {
		t.Fatal(err)
	}
	awaitEvent(t, logged, name, eventStopped, 1)
	awaitEvent(t, logged, name, eventReady, 2)
	if got, want := eventsOf(logged, name), []string{
		eventStarting, eventStarted, eventReady, eventStopped, eventStarting, eventStarted, eventReady,
	}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if err := s.await(testContext(t), func() bool { return slices.Contains(s.ready, name) }); err != nil {
		t.Fatal(err)
	}
	for _, socket := range []string{clientSocket(name), peerSocket(address{name: name})} {
		if !exists(s.socket(socket)) {
			t.Errorf("socket %s is gone", socket)
		}
	}
	fresh, err := s.newClient(s.Dial)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if got, err := fresh.Get(testContext(t), "a"); err != nil || len(got.Kvs) != 1 {
		t.Fatalf("get: %v, %v", got, err)
	}
}

func TestStopOfAMemberThatStartsIsNotLost(t *testing.T) {
	t.Parallel()
	opt := testOptions(t, 1)
	logged := recordEvents(&opt)
	s := start(t, opt)
	name := s.Members()[0].Name
	s.stopMember(name)
	s.startMember(name)
	s.stopMember(name)
	awaitEvent(t, logged, name, eventStopped, 2)
	events := slices.DeleteFunc(eventsOf(logged, name), func(e string) bool { return e == eventReady })
	want := []string{eventStarting, eventStarted, eventStopped, eventStarting, eventStarted, eventStopped}
	if !slices.Equal(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
	if exists(s.socket(clientSocket(name))) {
		t.Error("a member that was stopped still has its socket")
	}
}

// Clients are not left on a member that is stopped, where their watches would hear nothing until etcd has closed.
func TestStoppedMembersClientsAreHungUp(t *testing.T) {
	t.Parallel()
	s := start(t, testOptions(t, 1))
	name := s.Members()[0].Name
	var conns []net.Conn
	for _, d := range []*dialer{s.inside, s.clients} {
		c, err := d.dial(testContext(t), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	s.stopMember(name)
	for i, c := range conns {
		buf := make([]byte, 1<<10)
		var err error
		for err == nil { // what etcd says first
			_, err = c.Read(buf)
		}
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("connection %d was ended by etcd, not here: %v", i, err)
		}
	}
	if _, err := s.Dial(context.Background(), ""); err == nil {
		t.Error("a member that was stopped is dialled")
	}
}
