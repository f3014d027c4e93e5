// Package membertest gives tests of other packages the etcd child that package member supervises.
package membertest

import (
	"fmt"
	"os"
	"testing"

	"github.com/sherd-io/sherd/placement/member"
)

// childEnv makes a test binary be the child.
const childEnv = "TEST_ETCD_CHILD"

// sherdEnv names a sherd that is the child instead. Under the race detector, with which the test binary was built, etcd costs several times
// what the tested package does; what is ours of the child runs under it in the tests of package member.
const sherdEnv = "TEST_ETCD_SHERD"

// Main is TestMain of a package whose tests start what Child gives.
func Main(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := member.RunChild(os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Child gives the command of the child and what it needs in its environment, as member.Options want them.
func Child() (command, env []string) {
	if sherd := os.Getenv(sherdEnv); sherd != "" {
		return []string{sherd, "etcd"}, nil
	}
	return []string{"/proc/self/exe"}, []string{childEnv + "=1"}
}
