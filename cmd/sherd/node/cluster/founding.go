package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/placement"
)

// Proposal is what one founder brings.
type Proposal struct {
	Node    placement.Node       `json:"node"`
	Drives  []*placement.Drive   `json:"drives"`
	Members map[ids.Drive]string `json:"members,omitempty"` // names of the members of the embedded etcd that the drives would have
}

func (p *Proposal) equal(other *Proposal) bool {
	a, errA := json.Marshal(p)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && string(a) == string(b)
}

// Stage is how far a founder has come.
type Stage string

const (
	Blank    Stage = "blank"    // it has blank drives, or none, and waits for the others
	Proposed Stage = "proposed" // its drives are formatted
	Agreed   Stage = "agreed"   // it has written down what all proposed
	History  Stage = "history"  // it belongs to a cluster that exists
)

// Answer is what a founder tells the others.
type Answer struct {
	Stage    Stage      `json:"stage"`
	Drives   *int       `json:"drives,omitempty"`   // while Blank: how many it would bring; an older version does not say
	Proposal *Proposal  `json:"proposal,omitempty"` // from Proposed on
	Agreed   []Proposal `json:"agreed,omitempty"`   // by node
}

// Founders agree on what their cluster begins with.
type Founders struct {
	Self   string
	Nodes  []string // all of them, Self too
	Ask    func(ctx context.Context, node string) (Answer, error)
	Tell   func(Answer) // what the others are answered from now on
	Every  time.Duration
	Logger *slog.Logger
}

// ErrFounded reports that the cluster exists already, or was agreed on without this node.
var ErrFounded = errors.New("cluster: it is founded already")

// AwaitBlank returns nil when every founder was heard, none belongs to a cluster, and fits has nothing against the number of drives that
// they all bring; then this one may format its own. Errors: ErrFounded, fits's, ctx's.
func (f *Founders) AwaitBlank(ctx context.Context, drives int, fits func(all int) error) error {
	f.Tell(Answer{Stage: Blank, Drives: &drives})
	return f.poll(ctx, func(answers map[string]Answer) (bool, error) {
		all, counted := drives, true
		for _, a := range answers {
			if a.Stage == History || a.Stage == Agreed { // if all agreed, this one did too, and had not lost it
				return false, ErrFounded
			}
			n, known := a.brings()
			all, counted = all+n, counted && known
		}
		if len(answers) < len(f.Nodes)-1 {
			return false, nil
		}
		if !counted {
			return true, nil
		}
		err := fits(all)
		if err != nil { // so that the others hear what this one brings, and say the same
			select {
			case <-ctx.Done():
			case <-time.After(lastWords * f.Every):
			}
		}
		return true, err
	})
}

// lastWords is for how many rounds a founder that gives up can still be asked.
const lastWords = 10

// brings is how many drives the founder brings, if it says.
func (a *Answer) brings() (drives int, known bool) {
	switch {
	case a.Proposal != nil:
		return len(a.Proposal.Drives), true
	case a.Drives != nil:
		return *a.Drives, true
	}
	return 0, false
}

// Agree tells the others what this node proposes, which it has written down, and returns what all propose, by node: the caller writes
// it down, and tells it. Errors: ErrFounded, ctx's.
func (f *Founders) Agree(ctx context.Context, own Proposal) (all []Proposal, err error) {
	f.Tell(Answer{Stage: Proposed, Proposal: &own})
	err = f.poll(ctx, func(answers map[string]Answer) (bool, error) {
		all = []Proposal{own}
		for _, a := range answers {
			switch {
			case a.Stage == Agreed && slices.ContainsFunc(a.Agreed, func(p Proposal) bool { return p.equal(&own) }):
				all = a.Agreed
				return true, nil
			case a.Stage == Agreed, a.Stage == History:
				return false, ErrFounded
			case a.Stage == Proposed && a.Proposal != nil:
				all = append(all, *a.Proposal)
			}
		}
		return len(all) == len(f.Nodes), nil
	})
	slices.SortFunc(all, func(a, b Proposal) int { return strings.Compare(a.Node.Name, b.Node.Name) })
	return all, err
}

// poll asks all others until enough says that their answers are enough.
func (f *Founders) poll(ctx context.Context, enough func(map[string]Answer) (bool, error)) error {
	said := ""
	for {
		answers, missing := f.askAll(ctx)
		done, err := enough(answers)
		if done || err != nil {
			return err
		}
		if text := strings.Join(missing, "; "); text != "" && text != said {
			said = text
			f.Logger.Info("a first start waits for all nodes of --cluster", "missing", text)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cluster: waiting for the other nodes of --cluster (%s): %w", strings.Join(missing, "; "), ctx.Err())
		case <-time.After(f.Every):
		}
	}
}

func (f *Founders) askAll(ctx context.Context) (answers map[string]Answer, missing []string) {
	type heard struct {
		node string
		a    Answer
		err  error
	}
	results := make(chan heard, len(f.Nodes))
	asked := 0
	for _, node := range f.Nodes {
		if node == f.Self {
			continue
		}
		asked++
		go func() {
			a, err := f.Ask(ctx, node)
			results <- heard{node, a, err}
		}()
	}
	answers = map[string]Answer{}
	for range asked {
		h := <-results
		if h.err != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", h.node, h.err))
			continue
		}
		answers[h.node] = h.a
	}
	slices.Sort(missing)
	return answers, missing
}

// FoundingFile keeps, on each of a founder's drives, what it proposed and agreed to.
const FoundingFile = "founding.json"

// Record is what a founder has written down.
type Record struct {
	Version  int        `json:"version"`
	Proposal Proposal   `json:"proposal"`
	Agreed   []Proposal `json:"agreed,omitempty"`
}

const recordVersion = 1

// Write writes the record into directories, all of them; it is durable when it returns.
func (r Record) Write(dirs []string) error {
	r.Version = recordVersion
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := atomicfile.Write(filepath.Join(dir, FoundingFile), append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// ReadRecord reads what a founder wrote into directories: what it agreed to, if it came so far anywhere; nil if there is nothing.
// Errors: of files that cannot be read, where no other says what was agreed to.
func ReadRecord(dirs []string) (found *Record, err error) {
	for _, dir := range dirs {
		r, bad := readRecord(filepath.Join(dir, FoundingFile))
		switch {
		case errors.Is(bad, fs.ErrNotExist):
		case bad != nil:
			err = errors.Join(err, bad)
		case len(r.Agreed) > 0:
			return r, nil
		default:
			found = r
		}
	}
	if err != nil { // it may have said more
		return nil, err
	}
	return found, nil
}

func readRecord(path string) (*Record, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Record{}
	if err = json.Unmarshal(b, r); err == nil && r.Version != recordVersion {
		err = fmt.Errorf("version %d", r.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
