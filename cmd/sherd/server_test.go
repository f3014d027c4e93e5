package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sherd-io/sherd/internal/poll"
)

// runEnv makes the test binary be sherd, also as the etcd child.
const runEnv = "TEST_SHERD_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runEnv) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// within is how long anything awaited may take on a loaded machine.
const within = poll.Within

// process is a sherd server in a directory of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	dir string
	out bytes.Buffer // stdout and stderr
}

// serve runs `sherd server` with flags and three drives in dir.
func serve(t *testing.T, dir string, env []string, flags ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: dir}
	p.cmd = exec.Command(exe, append(append([]string{"server"}, flags...), filepath.Join(dir, "d{1...3}"))...)
	p.cmd.Env = append(append(os.Environ(), runEnv+"=1"), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
		if t.Failed() {
			t.Log(p.out.String())
		}
	})
	return p
}

// end sends a signal and waits for the end.
func (p *process) end(sig os.Signal) error {
	p.t.Helper()
	p.cmd.Process.Signal(sig)
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(within):
		p.cmd.Process.Signal(syscall.SIGQUIT)
		<-done
		return errors.New("it does not end")
	}
}

// children are the processes whose parent is pid.
func children(pid int) (all []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			all = append(all, child)
		}
	}
	return all
}

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	poll.Nil(t, within, what, f)
}

func freeAddr(t *testing.T, network, host string) string {
	t.Helper()
	l, err := net.Listen(network, net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skip(err) // a machine without IPv6 has nothing to test here
	}
	defer l.Close()
	return l.Addr().String()
}

// live asks url's process whether it lives.
func live(c *http.Client, url string) error {
	resp, err := c.Get(url + "/_/live")
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// TestServerNotifies: a unit of Type=notify is told when the server is ready and when it stops; SIGTERM ends it well.
func TestServerNotifies(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := freeAddr(t, "tcp", "127.0.0.1")
	p := serve(t, dir, []string{"NOTIFY_SOCKET=" + socket}, "--listen", addr)
	hear := func(want string) {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(within))
		b := make([]byte, 1024)
		n, err := l.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("heard %q, %v; want %s", b[:n], err, want)
		}
	}
	hear("READY=1")
	if err := live(http.DefaultClient, "http://"+addr); err != nil {
		t.Errorf("it said that it is ready: %v", err)
	}
	kids := children(p.cmd.Process.Pid)
	if err := p.end(syscall.SIGTERM); err != nil {
		t.Errorf("ended: %v", err)
	}
	hear("STOPPING=1")
	if len(kids) == 0 {
		t.Error("no etcd child")
	}
	for _, kid := range kids {
		if syscall.Kill(kid, 0) == nil {
			t.Errorf("process %d goes on", kid)
		}
	}
}

// TestChildDiesWithServer: after kill -9 of the server its etcd ends too, so that a new server finds the drives free.
func TestChildDiesWithServer(t *testing.T) {
	dir := t.TempDir()
	addr := freeAddr(t, "tcp", "127.0.0.1")
	env := []string{"SHERD_ROOT_USER=tester", "SHERD_ROOT_PASSWORD=tester-password", "RUNTIME_DIRECTORY=" + t.TempDir()}
	p := serve(t, dir, env, "--listen", addr)
	eventually(t, "service", func() error { return live(http.DefaultClient, "http://"+addr) })
	kids := children(p.cmd.Process.Pid)
	if len(kids) == 0 {
		t.Fatal("no etcd child")
	}
	p.end(syscall.SIGKILL)
	eventually(t, "the child's end", func() error {
		for _, kid := range kids {
			if err := syscall.Kill(kid, 0); err == nil && !zombie(kid) {
				return fmt.Errorf("process %d goes on", kid)
			}
		}
		return nil
	})
	again := serve(t, dir, env, "--listen", addr)
	eventually(t, "service again", func() error { return live(http.DefaultClient, "http://"+addr) })
	if err := again.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// zombie reports a process that has ended and that nobody has waited for: its parent was killed.
func zombie(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(rest, "Z")
}

// TestStopWithoutDrives: SIGTERM ends a server all of whose drives are gone.
func TestStopWithoutDrives(t *testing.T) {
	dir := t.TempDir()
	addr := freeAddr(t, "tcp", "127.0.0.1")
	p := serve(t, dir, nil, "--listen", addr)
	eventually(t, "service", func() error { return live(http.DefaultClient, "http://"+addr) })
	for i := range 3 {
		if err := os.Rename(filepath.Join(dir, fmt.Sprint("d", i+1)), filepath.Join(dir, fmt.Sprint("gone", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	p.end(syscall.SIGTERM) // with an error or not
	if took := time.Since(begin); took > stopWithin {
		t.Errorf("it took %s", took)
	}
}

// TestSecondServer: the drives of a running server are refused, in one line that says who has them.
func TestSecondServer(t *testing.T) {
	dir := t.TempDir()
	addr := freeAddr(t, "tcp", "127.0.0.1")
	p := serve(t, dir, nil, "--listen", addr)
	eventually(t, "service", func() error { return live(http.DefaultClient, "http://"+addr) })
	second := serve(t, dir, nil, "--listen", freeAddr(t, "tcp", "127.0.0.1"))
	if err := second.cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	if want := fmt.Sprintf("(pid %d) holds it", p.cmd.Process.Pid); !strings.Contains(second.out.String(), want) {
		t.Errorf("no %q in\n%s", want, second.out.String())
	}
	busy := serve(t, t.TempDir(), nil, "--listen", addr)
	if err := busy.cmd.Wait(); err == nil || !strings.Contains(busy.out.String(), "--listen") {
		t.Errorf("port taken: %v\n%s", err, busy.out.String())
	}
}

// TestListeners: several addresses, [::] among them, with a certificate made at start; settings come from flags, the
// environment and a file together.
func TestListeners(t *testing.T) {
	dir := t.TempDir()
	v4, v6 := freeAddr(t, "tcp", "127.0.0.1"), freeAddr(t, "tcp6", "::")
	_, port, _ := net.SplitHostPort(v6)
	config := filepath.Join(dir, "sherd.yaml")
	text := "trusted-proxies: [10.0.0.0/8, 127.0.0.1]\ntls-self-signed: true\nlisten: ['127.0.0.1:1']\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, dir, []string{"SHERD_DOMAIN=s3.example.test"}, "--config", config, "--listen", v4, "--listen", "[::]:"+port)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer c.CloseIdleConnections()
	for _, addr := range []string{v4, net.JoinHostPort("::1", port), net.JoinHostPort("127.0.0.1", port)} {
		eventually(t, addr, func() error { return live(c, "https://"+addr) })
	}
	conn, err := tls.Dial("tcp", v4, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	cert := conn.ConnectionState().PeerCertificates[0]
	conn.Close()
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "s3.example.test", "bucket.s3.example.test"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := p.end(os.Interrupt); err != nil {
		t.Error(err)
	}
	if !strings.Contains(p.out.String(), "https://"+v4) {
		t.Errorf("no address in\n%s", p.out.String())
	}
}

// TestKeyPairIsReadAgain: a certificate that was replaced is in use without a restart; half of a new one is not.
func TestKeyPairIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	k := &keyPair{certFile: filepath.Join(dir, "cert"), keyFile: filepath.Join(dir, "key"), every: time.Nanosecond}
	write := func(name string, key bool) {
		t.Helper()
		pair, err := selfSigned([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		writePair(t, k.certFile, k.keyFile, pair, key)
	}
	serves := func() string {
		t.Helper()
		pair, err := k.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return cert.DNSNames[0]
	}
	write("one.test", true)
	for _, step := range []struct {
		name string
		key  bool
		want string
	}{{"one.test", true, "one.test"}, {"half.test", false, "one.test"}, {"two.test", true, "two.test"}} {
		write(step.name, step.key)
		later := time.Now().Add(time.Hour) // whatever the file system's clock resolves
		if err := os.Chtimes(k.certFile, later, later); err != nil {
			t.Fatal(err)
		}
		if got := serves(); got != step.want {
			t.Errorf("after %+v: %s", step, got)
		}
	}
}

func writePair(t *testing.T, certFile, keyFile string, pair tls.Certificate, withKey bool) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(certFile, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if withKey {
		if err := os.WriteFile(keyFile, key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLSFlagsThatDoNotGoTogether(t *testing.T) {
	for _, f := range []serverFlags{
		{tlsSelfSigned: true, tlsCert: "c"},
		{tlsCert: "c"}, {tlsKey: "k"},
		{tlsCert: "not-there", tlsKey: "not-there"},
	} {
		if _, err := f.tlsConfig(); err == nil {
			t.Errorf("%+v passes", f)
		}
	}
}

// TestI12_PreflightOfABadDrive: where the cluster exists a server starts without a drive that fails or hangs; a first
// start does not, and nobody takes a drive that another has.
func TestI12_PreflightOfABadDrive(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	if err := os.Mkdir(good, 0o755); err != nil {
		t.Fatal(err)
	}
	hang := make(chan struct{})
	defer close(hang)
	check := func(path string) []finding {
		if path == bad {
			<-hang
		}
		return checkDrive(path)
	}
	look := func() []finding {
		all, answering := checkDrives([]string{good, bad}, check, 2*time.Second)
		if len(answering) != 1 || answering[0] != good {
			t.Fatalf("answering: %v", answering)
		}
		return all
	}
	if all := look(); !has(all, true, bad, "does not answer") || all[len(all)-1].degraded {
		t.Errorf("first start: %v", all)
	}
	if err := os.WriteFile(filepath.Join(good, formatName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if all := look(); !has(all, true, bad, "does not answer") || !all[len(all)-1].degraded {
		t.Errorf("existing cluster: %v", all)
	}
	held := filepath.Join(dir, "held")
	lockDrive(t, held)
	all, _ := checkDrives([]string{good, held}, checkDrive, within)
	if !has(all, true, held, "holds it") || all[len(all)-1].degraded {
		t.Errorf("held: %v", all)
	}
}

// lockDrive holds a drive locked until t ends, as an open drive does.
func lockDrive(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(path, lockName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
}

// TestServerFlagsThatDoHarm: they are refused before a drive is touched, in a line that says what to give.
func TestServerFlagsThatDoHarm(t *testing.T) {
	for want, args := range map[string][]string{
		"--out-after":         {"--out-after", "-1h"},
		"--collect-after":     {"--collect-after", "1s"},
		"--control-staleness": {"--control-staleness", "-1s"},
		"--inline-bytes":      {"--inline-bytes", "1000000000"},
		"such as 127.0.0.1":   {"--listen", "127.0.0.1"},
		"node of several":     {"--roles", "gateway"},
		"external etcd":       {"--etcd-user", "sherd"},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if want != "node of several" {
			args = append(args, dir)
		}
		cmd := newServerCommand()
		cmd.SetArgs(args)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "sherd.json")); !os.IsNotExist(err) {
			t.Errorf("%v: the drive: %v", args, err)
		}
	}
}
