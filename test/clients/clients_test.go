package clients

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	clientsFlag = flag.String("clients", "", `the folders of the clients to run, separated by spaces; "all" for all`)
	binaryFlag  = flag.String("sherd", "", "binary to test (default: build it)")
	limitFlag   = flag.Duration("limit", time.Hour, "the longest that a client may take")
)

const (
	installLimit = 15 * time.Minute
	cannotRun    = 77 // exit code of a client that this machine cannot run
	bigBytes     = 40<<20 + 17
	treeFiles    = 120
)

// TestFolders wants each client's folder to be whole.
func TestFolders(t *testing.T) {
	names := folders(t)
	if len(names) == 0 {
		t.Fatal("no clients")
	}
	for _, name := range names {
		for _, file := range []string{"install", "run"} {
			info, err := os.Stat(filepath.Join(name, file))
			if err != nil {
				t.Error(err)
			} else if info.Mode()&0o111 == 0 {
				t.Errorf("%s/%s is not executable", name, file)
			}
		}
	}
}

// TestClients installs and runs the chosen clients, one after the other, each against a server of its own.
func TestClients(t *testing.T) {
	if *clientsFlag == "" {
		t.Skip("`make clients` runs them")
	}
	chosen := strings.Fields(*clientsFlag)
	if *clientsFlag == "all" {
		chosen = folders(t)
	}
	binary, build := buildSherd(t), t.TempDir()
	for _, name := range chosen {
		t.Run(name, func(t *testing.T) {
			install(t, name, build)
			s := start(t, binary)
			runClient(t, s, name, build)
			s.checkAnswers()
		})
	}
}

// folders are the clients that there are.
func folders(t *testing.T) []string {
	t.Helper()
	runs, err := filepath.Glob("*/run")
	must(t, err)
	for i := range runs {
		runs[i] = filepath.Dir(runs[i])
	}
	return runs
}

// buildSherd returns the path of the binary under test.
func buildSherd(t *testing.T) string {
	t.Helper()
	if *binaryFlag != "" {
		return *binaryFlag
	}
	binary := filepath.Join(t.TempDir(), "sherd")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/sherd").CombinedOutput(); err != nil {
		t.Fatalf("building sherd: %v\n%s", err, out)
	}
	return binary
}

func install(t *testing.T, name, build string) {
	t.Helper()
	cmd := script(t, name, "install")
	cmd.Env = append(os.Environ(), "BUILD="+build)
	began := time.Now()
	out, err := within(t, cmd, installLimit)
	if err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	t.Logf("installed in %.1f s", time.Since(began).Seconds())
}

// runClient gives the client its files and its environment, and reports what it printed.
func runClient(t *testing.T, s *server, name, build string) {
	t.Helper()
	work := t.TempDir()
	makeFiles(t, work)
	home := filepath.Join(work, "home")
	must(t, os.Mkdir(home, 0o700))
	cmd := script(t, name, "run")
	cmd.Dir = work
	// AWS_… of the machine, such as AWS_CA_BUNDLE, would change the clients' defaults.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	cmd.Env = append(cmd.Env, "BUILD="+build, "ENDPOINT="+s.url(), "WORKDIR="+work, "HOME="+home,
		"AWS_ACCESS_KEY_ID="+rootUser, "AWS_SECRET_ACCESS_KEY="+rootPassword,
		"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	began := time.Now()
	out, err := within(t, cmd, *limitFlag)
	took := time.Since(began).Seconds()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == cannotRun {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Skip("skipped: ", lines[len(lines)-1])
	}
	if err != nil {
		t.Fatalf("%v after %.1f s\n%s", err, took, out)
	}
	t.Logf("%s: %.1f s\n%s", name, took, out)
}

// script is a client's program, with a process group of its own.
func script(t *testing.T, name, program string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(name, program))
	must(t, err)
	cmd := exec.Command(path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// within runs cmd. After the limit its process group is asked to end, and killed if it does not.
func within(t *testing.T, cmd *exec.Cmd, limit time.Duration) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 20 * time.Second // for the output of what outlives the script
	must(t, cmd.Start())
	ask := time.AfterFunc(limit, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
	kill := time.AfterFunc(limit+20*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	late := !ask.Stop()
	kill.Stop()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whatever it left behind
	if late {
		err = fmt.Errorf("not done within %s: %w", limit, err)
	}
	return out.Bytes(), err
}

// makeFiles makes what the clients send: the same bytes at every run.
func makeFiles(t *testing.T, work string) {
	t.Helper()
	var seed [32]byte
	random := rand.NewChaCha8(seed)
	write := func(name string, bytes int) {
		content := make([]byte, bytes)
		random.Read(content)
		path := filepath.Join(work, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, content, 0o644))
	}
	write("big", bigBytes)
	for i := range treeFiles {
		write(fmt.Sprintf("tree/%d/%d.bin", i%7, i), i*977)
	}
	for _, name := range []string{"a b", "a+b", "100%", "%41", "ключ", "日本語", "emoji 🙂", "quote'\"", "semi;colon", "amp&ersand", "at@eq=x", "(brackets) [x] {y}", "tilde~", ".hidden", "x#y?z"} {
		write("tree/names/"+name, 1000)
	}
	write("tree/deep/"+strings.Repeat("d/", 20)+"file", 10)
	write("tree/large", 6<<20)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
