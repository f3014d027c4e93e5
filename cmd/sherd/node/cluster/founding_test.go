package cluster

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// town is some founders that hear each other, where the network lets them.
type town struct {
	mu     sync.Mutex
	names  []string
	told   map[string]Answer
	absent map[string]bool
}

var errAway = errors.New("it does not answer")

func newTown(names ...string) *town {
	return &town{names: names, told: map[string]Answer{}, absent: map[string]bool{}}
}

func (w *town) founder(name string) *Founders {
	return &Founders{
		Self: name, Nodes: w.names, Every: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Tell: func(a Answer) { w.tell(name, a) },
		Ask: func(_ context.Context, node string) (Answer, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			a, up := w.told[node]
			if !up || w.absent[node] || w.absent[name] {
				return Answer{}, errAway
			}
			return a, nil
		},
	}
}

func (w *town) tell(name string, a Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[name] = a
}

func (w *town) setAbsent(name string, absent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.absent[name] = absent
}

func proposal(name string) Proposal {
	d := ids.NewDrive()
	return Proposal{
		Node:    placement.Node{Name: name, Addr: name + ":9001"},
		Drives:  []*placement.Drive{{ID: d, Node: name}},
		Members: map[ids.Drive]string{d: "m" + name},
	}
}

func anyNumber(int) error { return nil }

// TestFoundersCountTheirDrives: whether all their drives are enough is asked before any of them may format its own.
func TestFoundersCountTheirDrives(t *testing.T) {
	few := errors.New("too few")
	synctest.Test(t, func(t *testing.T) {
		w := newTown("n1", "n2", "n3")
		var wg sync.WaitGroup
		for i, name := range w.names {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				err := w.founder(name).AwaitBlank(t.Context(), i, func(all int) error {
					if all != 0+1+2 {
						t.Errorf("%s counts %d drives", name, all)
					}
					return few
				})
				if !errors.Is(err, few) {
					t.Errorf("%s may format its drives: %v", name, err)
				}
			})
		}
		wg.Wait()
		w.tell("n2", Answer{Stage: Blank}) // of an older version
		if err := w.founder("n1").AwaitBlank(t.Context(), 1, func(int) error { return few }); err != nil {
			t.Errorf("refused though one does not say how many it brings: %v", err)
		}
	})
}

// found is what one founder does from a blank start.
func (w *town) found(ctx context.Context, name string, own Proposal) ([]Proposal, error) {
	f := w.founder(name)
	if err := f.AwaitBlank(ctx, len(own.Drives), anyNumber); err != nil {
		return nil, err
	}
	all, err := f.Agree(ctx, own)
	if err == nil {
		w.tell(name, Answer{Stage: Agreed, Proposal: &own, Agreed: all})
	}
	return all, err
}

// All founders come to the same, though some are away for a while; nobody goes on before all were heard.
func TestFoundersAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		w := newTown("n1", "n2", "n3")
		w.setAbsent("n2", true)
		var mu sync.Mutex
		results := map[string][]Proposal{}
		for _, name := range w.names {
			own, wait := proposal(name), time.Duration(rng.IntN(1000))*time.Millisecond
			go func() {
				time.Sleep(wait)
				all, err := w.found(t.Context(), name, own)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				mu.Lock()
				results[name] = all
				mu.Unlock()
			}()
		}
		time.Sleep(time.Minute)
		mu.Lock()
		if len(results) != 0 {
			t.Errorf("without n2 there are results: %v", results)
		}
		mu.Unlock()
		w.setAbsent("n2", false)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(results) != 3 || !reflect.DeepEqual(results["n1"], results["n2"]) || !reflect.DeepEqual(results["n1"], results["n3"]) {
			t.Errorf("they came to %v", results)
		}
	})
}

// I10: a founder that lost what it had written down is none any more.
func TestI10_ForgetfulFounder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown("n1", "n2", "n3")
		var all sync.WaitGroup
		for _, name := range w.names {
			all.Go(func() {
				if _, err := w.found(t.Context(), name, proposal(name)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := w.founder("n3").AwaitBlank(t.Context(), 1, anyNumber); !errors.Is(err, ErrFounded) {
			t.Errorf("blank again: %v", err)
		}
		if _, err := w.founder("n3").Agree(t.Context(), proposal("n3")); !errors.Is(err, ErrFounded) {
			t.Errorf("with another proposal: %v", err)
		}
	})
}

// One that was cut off after the others agreed comes to the same.
func TestFounderCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown("n1", "n2", "n3")
		own := map[string]Proposal{}
		for _, n := range w.names {
			own[n] = proposal(n)
			p := own[n]
			w.tell(n, Answer{Stage: Proposed, Proposal: &p})
		}
		first, err := w.founder("n1").Agree(t.Context(), own["n1"])
		if err != nil {
			t.Fatal(err)
		}
		w.tell("n1", Answer{Stage: Agreed, Agreed: first})
		delete(w.told, "n2") // it is away by now
		again, err := w.founder("n3").Agree(t.Context(), own["n3"])
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Errorf("%v, %v; want %v", again, err, first)
		}
	})
}

func TestRecordsAreKept(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	if r, err := ReadRecord(dirs); r != nil || err != nil {
		t.Fatalf("of nothing: %v, %v", r, err)
	}
	own := proposal("n1")
	if err := (Record{Proposal: own}).Write(dirs); err != nil {
		t.Fatal(err)
	}
	if err := (Record{Proposal: own, Agreed: []Proposal{own}}).Write(dirs[:1]); err != nil { // cut short
		t.Fatal(err)
	}
	for _, order := range [][]string{dirs, {dirs[1], dirs[0]}} {
		r, err := ReadRecord(order)
		if err != nil || len(r.Agreed) != 1 || !r.Agreed[0].equal(&own) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	for i, agreed := range []bool{false, true} { // the other one is damaged
		if err := os.WriteFile(filepath.Join(dirs[i], FoundingFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := ReadRecord(dirs); (err == nil) != agreed || (r != nil) != agreed {
			t.Errorf("agreed %v: %+v, %v", agreed, r, err)
		}
		if err := (Record{Proposal: own, Agreed: []Proposal{own}}).Write(dirs); err != nil {
			t.Fatal(err)
		}
	}
}
