package sim

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"
)

var (
	soak  = flag.Bool("soak", false, "run 10,000 schedules")
	seed  = flag.Uint64("seed", 0, "run the schedule of this seed alone")
	count = flag.Int("schedules", 0, "how many schedules; by default as many as make test has time for")
	from  = flag.Uint64("from", 1, "seed of the first schedule")
	trace = flag.Bool("trace", false, "print what the nodes logged, too")
)

// Schedules in make test, and in make soak.
const (
	fewSchedules  = 10
	manySchedules = 10_000
)

// begins is when the simulated clock stands at the start, instead of at 2009: papers between nodes hold from 2026 on.
var begins = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// TestSchedules runs schedules, each in a process of its own and as many at a time as -test.parallel allows.
// `go test ./test/sim -run TestSchedules -args -seed N` runs one again.
func TestSchedules(t *testing.T) {
	if simulated {
		time.Sleep(time.Until(begins))
		runSeed(t, *seed)
		return
	}
	if testing.Short() {
		t.Skip("processes of their own, which are not built with the race detector")
	}
	binary := build(t)
	first, n := *from, *count
	switch {
	case *seed != 0:
		first, n = *seed, 1
	case n == 0 && *soak:
		n = manySchedules
	case n == 0:
		n = fewSchedules
	}
	for s := first; s < first+uint64(n); s++ {
		t.Run(fmt.Sprint("seed", s), func(t *testing.T) {
			t.Parallel()
			runChild(t, binary, s)
		})
	}
}

// runSeed makes all that is random follow from the seed, but for how the runtime orders maps and selects.
func runSeed(t *testing.T, s uint64) {
	cryptotest.SetGlobalRandom(t, s)
	runSchedule(t, s)
}

// build makes this test with the simulated clock: the clock is the runtime's, for a whole process.
func build(t *testing.T) (binary string) {
	binary = filepath.Join(t.TempDir(), "sim.test")
	cmd := exec.Command("go", "test", "-c", "-tags", "faketime", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // with cgo the runtime never sees that nothing can run
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return binary
}

// runChild runs the schedule of one seed.
func runChild(t *testing.T, binary string, s uint64) {
	child := exec.Command(binary, "-test.run", "^TestSchedules$", "-test.v", "-test.timeout", "0", fmt.Sprint("-seed=", s), fmt.Sprint("-trace=", *trace))
	child.Env = append(os.Environ(), "GOMAXPROCS=1", "TMPDIR="+t.TempDir()) // one thread at a time: most of the order of what happens follows from the seed
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	err := child.Run()
	if err != nil || testing.Verbose() && (*seed != 0 || *trace) {
		t.Logf("%s", unframe(out.Bytes()))
	}
	if err != nil {
		t.Fatalf("%v; go test ./test/sim -run TestSchedules -args -seed %d   runs it again; -trace shows what the nodes logged", err, s)
	}
}

// unframe takes away what the runtime writes before each piece of output where the clock is simulated: "\0\0PB", the time in 8 bytes, the
// length in 4 (runtime/time_fake.go).
func unframe(b []byte) string {
	var out strings.Builder
	const head = 16
	for len(b) > 0 {
		i := bytes.Index(b, []byte("\x00\x00PB"))
		if i < 0 || len(b) < i+head {
			break
		}
		out.Write(b[:i])
		n := min(int(binary.BigEndian.Uint32(b[i+12:])), len(b)-i-head)
		out.Write(b[i+head : i+head+n])
		b = b[i+head+n:]
	}
	out.Write(b)
	return out.String()
}
