package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/cmd/sherd/node"
	"github.com/sherd-io/sherd/internal/atomicfile"
	"github.com/sherd-io/sherd/internal/plural"
)

func newDevCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dev", Short: "Try things out on one machine"}
	cmd.AddCommand(newDevClusterCommand())
	return cmd
}

// devCluster is a cluster of several nodes on this machine: a process each, on 127.0.0.1, 127.0.0.2 ….
type devCluster struct {
	nodes, drives  int
	dir            string
	port, nodePort int
	profile        string
	out            io.Writer
	secret         string
	root           node.Credentials
	stopped        sync.WaitGroup
}

const (
	devNodesMax = 64
	devReady    = 2 * time.Minute
)

func newDevClusterCommand() *cobra.Command {
	d := &devCluster{}
	cmd := &cobra.Command{
		Use: "cluster", Short: "Run a cluster of several nodes on this machine until interrupted",
		Long: "Starts a server process for each node, on 127.0.0.1, 127.0.0.2 and so on, with its drives below --dir.\n" +
			"Started again with the same --dir, it goes on with what is stored there. It is for trying and for tests:\n" +
			"all drives are on one machine.",
		Example: "  sherd dev cluster --nodes 4 --drives 2",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out = cmd.OutOrStdout()
			return d.run(cmd.Context())
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&d.nodes, "nodes", 4, "how many nodes")
	fl.IntVar(&d.drives, "drives", 2, "how many drives each has")
	fl.StringVar(&d.dir, "dir", "./dev-cluster", "directory of the nodes' drives and logs")
	fl.IntVar(&d.port, "port", 9000, "port on which each node serves S3")
	fl.IntVar(&d.nodePort, "node-port", 9001, "port on which the nodes talk to each other")
	fl.StringVar(&d.profile, "ec", "", "data+parity shards, such as 4+2 (default by the number of drives)")
	return cmd
}

func (d *devCluster) run(ctx context.Context) (err error) {
	if d.nodes < 2 || d.nodes > devNodesMax || d.drives < 1 {
		return fmt.Errorf("give 2 to %d nodes with at least one drive each", devNodesMax)
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	if err := d.loadSecrets(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, d.nodes)
	for i := 1; i <= d.nodes; i++ {
		if err := d.spawn(ctx, i, ended); err != nil {
			cancel()
			d.stopped.Wait()
			return err
		}
	}
	if err := d.greet(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(d.out, err)
	}
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.out, "stopping")
			d.stopped.Wait()
			return nil
		case err := <-ended: // the others go on: to see what happens is what this is for
			if ctx.Err() == nil {
				fmt.Fprintln(d.out, err)
			}
		}
	}
}

func (d *devCluster) name(i int) string     { return fmt.Sprintf("n%d", i) }
func (d *devCluster) host(i int) string     { return fmt.Sprintf("127.0.0.%d", i) }
func (d *devCluster) endpoint(i int) string { return "http://" + d.address(i, d.port) }
func (d *devCluster) logFile(i int) string  { return filepath.Join(d.dir, d.name(i)+".log") }

func (d *devCluster) address(i, port int) string {
	return net.JoinHostPort(d.host(i), fmt.Sprint(port))
}

// loadSecrets takes the cluster's secret and root's credentials from the directory, or makes them.
func (d *devCluster) loadSecrets() error {
	secret, err := kept(filepath.Join(d.dir, "cluster-secret"), rand.Text)
	if err != nil {
		return err
	}
	d.secret = secret
	d.root = node.Credentials{AccessKey: os.Getenv("SHERD_ROOT_USER"), SecretKey: os.Getenv("SHERD_ROOT_PASSWORD")}
	if d.root.AccessKey != "" {
		return nil
	}
	text, err := kept(filepath.Join(d.dir, "root-credentials"), func() string {
		c := node.NewCredentials()
		return c.AccessKey + " " + c.SecretKey
	})
	if err != nil {
		return err
	}
	user, password, ok := strings.Cut(text, " ")
	if !ok {
		return errors.New("root-credentials is damaged: remove it")
	}
	d.root = node.Credentials{AccessKey: user, SecretKey: password}
	return nil
}

// kept is the content of a file, which is made if it is not there.
func kept(path string, fresh func() string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		b = []byte(fresh())
		err = atomicfile.Write(path, append(b, '\n'))
	}
	return strings.TrimSpace(string(b)), err
}

// spawn starts node i, which ends with ctx or with this process.
func (d *devCluster) spawn(ctx context.Context, i int, ended chan<- error) error {
	log, err := os.OpenFile(d.logFile(i), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", d.args(i)...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "SHERD_CLUSTER_SECRET="+d.secret, "SHERD_ROOT_USER="+d.root.AccessKey, "SHERD_ROOT_PASSWORD="+d.root.SecretKey)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin + 10*time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // ^C on a terminal is for this process
	started := make(chan error)
	d.stopped.Go(func() {
		runtime.LockOSThread() // until the child has ended: see Pdeathsig in prctl(2)
		defer runtime.UnlockOSThread()
		defer log.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- fmt.Errorf("%s has ended (%w): see %s", d.name(i), waited(cmd.Wait()), d.logFile(i))
		}
	})
	return <-started
}

var errEnded = errors.New("exit code 0")

func waited(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

func (d *devCluster) args(i int) []string {
	var founders []string
	for j := 1; j <= d.nodes; j++ {
		founders = append(founders, d.name(j)+"="+d.address(j, d.nodePort))
	}
	args := []string{
		"server", "--node", d.name(i), "--cluster", strings.Join(founders, ","), "--listen", d.address(i, d.port),
	}
	if d.profile != "" {
		args = append(args, "--ec", d.profile)
	}
	for j := 1; j <= d.drives; j++ {
		args = append(args, filepath.Join(d.dir, d.name(i), fmt.Sprintf("d%d", j)))
	}
	return args
}

// greet says where the nodes are when they are ready.
func (d *devCluster) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devReady)
	defer cancel()
	fmt.Fprintf(d.out, "starting %s with %s each in %s\n", plural.Of(d.nodes, "node"), plural.Of(d.drives, "drive"), d.dir)
	for i := 1; i <= d.nodes; i++ {
		if err := awaitReady(ctx, d.endpoint(i)); err != nil {
			return fmt.Errorf("%s is not ready: %w: see %s", d.name(i), err, d.logFile(i))
		}
		fmt.Fprintf(d.out, "%s  %s\n", d.name(i), d.endpoint(i))
	}
	fmt.Fprintf(d.out, "\nexport AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_DEFAULT_REGION=us-east-1\naws --endpoint-url %s s3 mb s3://first\nsherd status --endpoint %s\n\n",
		d.root.AccessKey, d.root.SecretKey, d.endpoint(1), d.endpoint(2))
	return nil
}

// awaitReady waits until a server says that it is ready. Error: ctx's, with what it said last.
func awaitReady(ctx context.Context, endpoint string) error {
	var last error
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/_/ready", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(strings.TrimSpace(string(b)))
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), last)
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
