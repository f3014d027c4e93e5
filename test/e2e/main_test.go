package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/poll"
)

var (
	soak       = flag.Bool("soak", false, "full counts: hours")
	seedFlag   = flag.Uint64("seed", 0, "seed of all random choices (default: the time)")
	raceServer = flag.Bool("race-server", false, "build the server with the race detector")
	keep       = flag.Bool("keep", false, "leave drives and logs in place")
	binaryFlag = flag.String("sherd", "", "binary to test (default: build it)")
)

// binary is the sherd under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if *seedFlag == 0 {
		*seedFlag = uint64(time.Now().UnixNano())
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if binary = *binaryFlag; binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sherd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sherd")
	args := []string{"build", "-o", binary}
	if *raceServer {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "../../cmd/sherd")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building sherd:", err)
		return 1
	}
	return m.Run()
}

// count is small in make test and full in make soak.
func count(small, full int) int {
	if *soak {
		return full
	}
	return small
}

// random is the source of t's choices; the seed is printed if t fails.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with: go test ./test/e2e/ -run '^%s$' -args -seed %d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, uint64(len(t.Name()))))
}

// eventually asks check until it says nil. within is enough for that on a machine which has time; four times as long is waited before t
// fails, for a test fails by what hangs and not by how busy the machine is.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	poll.Nil(t, 4*within, what, check)
}

// inTime is how long something may take that is promised within a limit: the limit in a soak, which has the machine to itself, and twice that
// in make test, where four tests share the cores. How long it took is logged.
func inTime(limit time.Duration) time.Duration { return time.Duration(count(2, 1)) * limit }
