package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// network is a router, in a network namespace of its own, and a host for each node, in one too, each with a link of its own to the
// router: whatever goes from one node to another is forwarded there, or silently dropped, each direction apart. The test itself is
// host 0, on a link that is never cut.
type network struct {
	t     *testing.T
	hosts int    // without host 0
	base  string // first three bytes of all addresses
	name  string // prefix of the namespaces' names
	down  map[[2]int]bool
}

// The ports of a node, which is alone in its namespace.
const (
	netS3Port   = 9000
	netNodePort = 9001
)

// newNetwork makes a network, and takes it away when t ends. It skips t where that is not allowed.
func newNetwork(t *testing.T, hosts int) *network {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip command (package iproute2): partitions are not tested")
	}
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root: partitions are not tested")
	}
	removeStaleNetworks()
	w := &network{t: t, hosts: hosts, down: map[[2]int]bool{}}
	var err error
	for range 20 { // another test may have the same addresses
		number := rand.IntN(512)
		w.base = fmt.Sprintf("198.%d.%d", 18+number/256, number%256)            // RFC 2544: for tests of networks
		w.name = fmt.Sprintf("%s%d-%x-", netPrefix, os.Getpid(), rand.Uint32()) // not by number: what fails is taken away by its names
		if err = w.make(number); err == nil {
			t.Cleanup(w.remove)
			return w
		}
		w.remove()
	}
	t.Skipf("no network namespaces here, so that partitions are not tested: %v", err)
	return nil
}

const netPrefix = "sherd-e2e-"

// removeStaleNetworks takes away what test processes left that were killed.
func removeStaleNetworks() {
	out, _ := ip("netns", "list")
	for line := range strings.SplitSeq(out, "\n") {
		name, _, _ := strings.Cut(line, " ")
		rest, ours := strings.CutPrefix(name, netPrefix)
		pid, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.Atoi(pid); ours && err == nil && !isLive(n) {
			_, _ = ip("netns", "del", name)
		}
	}
}

func ip(args ...string) (string, error) {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// addr is host i's.
func (w *network) addr(i int) string { return fmt.Sprintf("%s.%d", w.base, 4*i+2) }

// namespace is host i's.
func (w *network) namespace(i int) string { return w.name + strconv.Itoa(i) }

func (w *network) router() string { return w.name + "router" }

func (w *network) make(number int) error {
	var failed error
	run := func(args ...string) {
		if failed == nil {
			_, failed = ip(args...)
		}
	}
	run("netns", "add", w.router())
	for i := range w.hosts + 1 {
		far, near := fmt.Sprintf("link%d", i), fmt.Sprintf("sherd%d", number) // at the router, at the host
		inside := []string{"-n", w.namespace(i)}
		if i == 0 {
			inside = nil
			run("link", "add", near, "type", "veth", "peer", "name", far, "netns", w.router())
		} else {
			run("netns", "add", w.namespace(i))
			run("-n", w.namespace(i), "link", "set", "lo", "up")
			run("link", "add", near, "netns", w.namespace(i), "type", "veth", "peer", "name", far, "netns", w.router())
		}
		run(append(inside, "addr", "add", w.addr(i)+"/30", "dev", near)...)
		run(append(inside, "link", "set", "dev", near, "up")...)
		run("-n", w.router(), "addr", "add", fmt.Sprintf("%s.%d/30", w.base, 4*i+1), "dev", far)
		run("-n", w.router(), "link", "set", "dev", far, "up")
		run(append(inside, "route", "add", w.base+".0/24", "via", fmt.Sprintf("%s.%d", w.base, 4*i+1))...)
	}
	run("netns", "exec", w.router(), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return failed
}

func (w *network) remove() {
	for i := range w.hosts {
		_, _ = ip("netns", "del", w.namespace(i+1)) // it may not have been made
	}
	_, _ = ip("netns", "del", w.router())
}

// cut drops what goes from one host to another, from now on; the sender sees nothing of it.
func (w *network) cut(from, to int) { w.set(from, to, true) }

func (w *network) set(from, to int, down bool) {
	w.t.Helper()
	if w.down[[2]int{from, to}] == down {
		return
	}
	verb := map[bool]string{true: "add", false: "del"}[down]
	if _, err := ip("-n", w.router(), "rule", verb, "from", w.addr(from), "to", w.addr(to), "blackhole"); err != nil {
		w.t.Fatal(err)
	}
	w.down[[2]int{from, to}] = down
}

// part drops all between the hosts of one side and the others, both ways.
func (w *network) part(side ...int) {
	w.t.Helper()
	w.partOneWay(side, true, true)
}

// partOneWay drops what leaves a side, what enters it, or both.
func (w *network) partOneWay(side []int, leaving, entering bool) {
	w.t.Helper()
	within := map[int]bool{}
	for _, i := range side {
		within[i] = true
	}
	for i := 1; i <= w.hosts; i++ {
		for _, j := range side {
			if within[i] {
				continue
			}
			if leaving {
				w.cut(j, i)
			}
			if entering {
				w.cut(i, j)
			}
		}
	}
}

// heal forwards everything again.
func (w *network) heal() {
	w.t.Helper()
	for link := range w.down {
		w.set(link[0], link[1], false)
	}
}
