package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
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

	"github.com/sherd-io/sherd/gateway/sigv4"
)

var (
	endpointFlag = flag.String("endpoint", "", "URL of the S3 server to test (default: build sherd and start one)")
	oursFlag     = flag.Bool("ours", false, "with -endpoint: it is a sherd of this source, and what it does not serve yet may wait")
	accessFlag   = flag.String("access-key", "SHERDTEST", "root's access key there")
	secretFlag   = flag.String("secret-key", "a-password-for-tests", "root's secret key there")
	otherAccess  = flag.String("other-access-key", "", "access key of another account's root there (default: an account is made, which sherd lets root do)")
	otherSecret  = flag.String("other-secret-key", "", "its secret key")
	binaryFlag   = flag.String("sherd", "", "binary to test (default: build it)")
)

// parallel is how many cases run at once: they wait for disks more than they compute.
const parallel = "16"

// readyWithin is how long a server may take to start on a machine that does other things too.
const readyWithin = 2 * time.Minute

// target is the server under test and who may talk to it.
var target struct {
	url       string
	foreign   bool // not ours: nothing is known of what it serves
	root      sigv4.Credentials
	other     sigv4.Credentials // root of another account
	account   string            // root's account, as x-amz-expected-bucket-owner names it; empty where a foreign server does not say
	canonical string            // root's canonical id, as Owner/ID shows it
	stranger  string            // the other one's
	shared    string            // the bucket of cases that need none of their own
	client    *http.Client
}

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil {
		fail(err)
	}
	flag.Parse()
	target.url, target.foreign = *endpointFlag, *endpointFlag != "" && !*oursFlag
	target.root = sigv4.Credentials{AccessKey: *accessFlag, Secret: *secretFlag}
	target.client = &http.Client{
		Timeout:       readyWithin,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ExpectContinueTimeout: readyWithin},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	stop := func() error { return nil }
	if target.url == "" {
		var err error
		if stop, err = startServer(); err != nil {
			fail(err)
		}
	}
	code := 1
	err := errors.Join(whoIsRoot(), whoIsOther())
	if err == nil {
		code = m.Run()
		fmt.Print(summary())
	}
	if err = errors.Join(err, stop()); err != nil {
		fail(err)
	}
	os.Exit(code)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "conformance suite:", err)
	os.Exit(1)
}

// startServer builds sherd, starts it on six directories and a free port of the loopback, and waits until it is ready.
func startServer() (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "sherd-s3-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	binary := *binaryFlag
	if binary == "" {
		binary = filepath.Join(dir, "sherd")
		if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/sherd").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building sherd: %w\n%s", err, out)
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, "server", "--listen", address, filepath.Join(dir, "d{1...6}"))
	cmd.Env = append(os.Environ(), "SHERD_ROOT_USER="+target.root.AccessKey, "SHERD_ROOT_PASSWORD="+target.root.Secret)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err = cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	target.url = "http://" + address
	if err = waitReady(ended); err == nil {
		return func() error { return stopServer(cmd, ended, dir) }, nil
	}
	_ = cmd.Process.Kill()
	out, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("%w\n%s", err, out)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitReady asks until the server says that it is ready. A process gives no event for that.
func waitReady(ended chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if res, err := http.Get(target.url + "/_/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				tick.Stop()
				return nil
			}
		}
		select {
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("the server ended: %v", err)
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready after %s", readyWithin)
		}
	}
}

// stopServer ends the server as systemd would, and looks for what must not be in its log.
func stopServer(cmd *exec.Cmd, ended chan error, dir string) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	err := <-ended
	log, readErr := os.ReadFile(filepath.Join(dir, "log"))
	for _, bad := range []string{"panic", "DATA RACE", "fatal error:"} {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			err = errors.Join(err, fmt.Errorf("%q in the log:\n%s", bad, log[i:min(len(log), i+4000)]))
		}
	}
	return errors.Join(err, readErr, os.RemoveAll(dir))
}

// whoIsRoot finds root's account and canonical id.
func whoIsRoot() (err error) {
	if target.canonical, err = canonicalOf(target.root); err != nil {
		return err
	}
	var identity struct{ GetCallerIdentityResult struct{ Account string } }
	err = ask("POST", "Action=GetCallerIdentity&Version=2011-06-15", "sts", target.root, &identity)
	target.account = identity.GetCallerIdentityResult.Account
	if target.foreign {
		return nil // cases that need the account fail
	}
	return err
}

// whoIsOther makes another account, unless there is one to be used.
func whoIsOther() (err error) {
	target.other = sigv4.Credentials{AccessKey: *otherAccess, Secret: *otherSecret}
	if *otherAccess == "" {
		var made struct {
			CreateAccountResult struct {
				AccessKey struct{ AccessKeyId, SecretAccessKey string }
			}
		}
		form := fmt.Sprintf("Action=CreateAccount&Version=2010-05-08&AccountName=stranger-%d", time.Now().UnixNano())
		if err := ask("POST", form, "iam", target.root, &made); err != nil {
			return fmt.Errorf("making another account: %w (-other-access-key names one that is there)", err)
		}
		key := made.CreateAccountResult.AccessKey
		target.other = sigv4.Credentials{AccessKey: key.AccessKeyId, Secret: key.SecretAccessKey}
	}
	target.stranger, err = canonicalOf(target.other)
	return err
}

// canonicalOf is the canonical id of whose credentials these are.
func canonicalOf(c sigv4.Credentials) (string, error) {
	var buckets struct{ Owner struct{ ID string } }
	err := ask("GET", "", "s3", c, &buckets)
	return buckets.Owner.ID, err
}

// ask makes a request about no bucket, which must succeed.
func ask(method, form, service string, c sigv4.Credentials, into any) error {
	r, err := http.NewRequest(method, target.url+"/", strings.NewReader(form))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	signature{service: service}.sign(r, c, digestOf([]byte(form)), time.Now())
	res, err := target.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s /: %d %s", method, res.StatusCode, body)
	}
	if err != nil {
		return err
	}
	return xml.Unmarshal(body, into)
}

func itoa(n int) string { return strconv.Itoa(n) }
