package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sherd-io/sherd/cmd/sherd/node"
	"github.com/sherd-io/sherd/internal/plural"
	"github.com/sherd-io/sherd/placement/plan"
)

// stopWithin is how long a SIGTERM waits for requests under way.
const stopWithin = 30 * time.Second

// serverFlags are the flags of `sherd server`, as given.
type serverFlags struct {
	log     logFlags
	cfg     node.Config
	cluster clusterFlags
	listen  []string
	profile string
	memory  string
	quorum  string
	healing string

	tlsCert, tlsKey string
	tlsSelfSigned   bool
	replace         bool
	clockOff        time.Duration
}

func newServerCommand() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "server [flags] DRIVE…",
		Short: "Serve S3 from drives; {1...6} in a path counts",
		Example: "  sherd server './data/d{1...6}'\n" +
			"  sherd server --ec 8+3 --domain s3.example.com '/mnt/disk{01...12}'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if f.cfg.Drives, err = nodeDrives(cmd, args); err != nil {
				return err
			}
			gateway, storage, err := parseRoles(f.cluster.roles)
			if err != nil {
				return err
			}
			f.cfg.NoObjects = !gateway
			if !storage && len(f.cfg.Drives) > 0 {
				return errors.New("--roles gateway is for a node without drives: leave them out")
			}
			if storage && len(f.cfg.Drives) == 0 {
				return errors.New("no drives given: sherd server './data/d{1...6}' serves from six directories")
			}
			if !storage && f.cluster.alone() {
				return errors.New("--roles gateway is for a node of several: give --advertise, and --join with a token, --cluster or --etcd")
			}
			return f.serve(cmd.Context(), cmd)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *serverFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	addConfigFlag(cmd)
	f.log.add(fl)
	f.cluster.add(fl)
	fl.StringSliceVar(&f.listen, "listen", []string{":9000"}, "addresses to serve on, such as 127.0.0.1:9000 or [::]:9000")
	fl.StringSliceVar(&f.cfg.Domains, "domain", nil, "domains whose sub-domains are buckets (virtual-host style)")
	fl.StringVar(&f.cfg.Region, "region", "us-east-1", "region that clients sign for")
	fl.StringVar(&f.cfg.Ownership, "object-ownership", "BucketOwnerEnforced", "of new buckets that name none: BucketOwnerEnforced, or BucketOwnerPreferred or ObjectWriter, with which ACLs count")
	fl.StringVar(&f.tlsCert, "tls-cert", "", "PEM file with the certificate chain; read again when it changes")
	fl.StringVar(&f.tlsKey, "tls-key", "", "PEM file with its key")
	fl.BoolVar(&f.tlsSelfSigned, "tls-self-signed", false, "serve TLS with a certificate made at start, for trials")
	fl.StringVar(&f.profile, "ec", "", "data+parity shards of the first pool, such as 4+2 (default by the number of drives)")
	fl.StringVar(&f.quorum, "write-quorum", "strict", "strict, or k: acknowledge writes that reached only k drives (less safe)")
	fl.StringVar(&f.memory, "memory-limit", "", "memory of all processes of the node, such as 2GiB (default a quarter of what there is, at least 384MiB)")
	fl.BoolVar(&f.replace, "auto-replace", true, "adopt a blank directory in place of a lost drive")
	fl.StringVar(&f.cfg.Name, "node", "node1", "name of this node")
	fl.StringVar(&f.cfg.Zone, "zone", "", "zone of this node")
	fl.StringSliceVar(&f.cfg.Etcd.Endpoints, "etcd", nil, "endpoints of an external etcd; without it the embedded one is used")
	fl.StringVar(&f.cfg.Etcd.Username, "etcd-user", "", "its user; the password is SHERD_ETCD_PASSWORD")
	fl.StringVar(&f.cfg.Etcd.CAFile, "etcd-ca", "", "PEM file with its CA")
	fl.StringVar(&f.cfg.Etcd.CertFile, "etcd-cert", "", "PEM file with the client certificate for it")
	fl.StringVar(&f.cfg.Etcd.KeyFile, "etcd-key", "", "PEM file with that certificate's key")
	fl.StringSliceVar(&f.cfg.TrustedProxies, "trusted-proxies", nil, "addresses (CIDR) whose X-Forwarded-* headers count")
	fl.IntVar(&f.cfg.InlineBytes, "inline-bytes", 0, "objects up to this size live in their record's range (default 2048)")
	fl.DurationVar(&f.cfg.OutAfter, "out-after", 10*time.Minute, "a drive that is down for so long is given up")
	fl.DurationVar(&f.cfg.CollectAfter, "collect-after", 24*time.Hour, "uploads older than this are closed and their chunks are garbage")
	fl.StringVar(&f.healing, "heal-bandwidth", "0", "bytes a second that this node repairs and rebuilds, such as 100MiB; 0: all it can, and little while requests are served")
	fl.DurationVar(&f.cfg.ScrubEvery, "scrub-every", 7*24*time.Hour, "how often everything stored is read and verified; negative: only on demand")
	fl.DurationVar(&f.cfg.ControlStaleness, "control-staleness", time.Hour, "refuse requests when etcd has not been reached for so long")
	fl.DurationVar(&f.cfg.EtcdGrace, "etcd-grace", 10*time.Minute, "after a restart of etcd no drive is given up for so long")
	fl.DurationVar(&f.clockOff, "clock-off", 0, "how much the wall clock is made wrong: for tests of what that does")
	for _, forTests := range []string{"etcd-grace", "clock-off"} {
		fl.Lookup(forTests).Hidden = true
	}
	fl.BoolVar(&f.cfg.Pprof, "pprof", false, "serve profiles to root below /_/debug/pprof/")
}

// serve runs the server until ctx ends.
func (f *serverFlags) serve(ctx context.Context, cmd *cobra.Command) error {
	logger, err := f.log.logger()
	if err != nil {
		return err
	}
	if names := strangers(cmd.Flags(), os.Environ()); len(names) > 0 {
		logger.Warn("no setting is called so: it changes nothing", "variables", names)
	}
	if err := f.complete(logger); err != nil {
		return err
	}
	if err := preflight(f.cfg.Drives, logger); err != nil {
		return err
	}
	f.cfg.Connections = clientConnections() // of the limit that preflight has raised
	if f.cfg.Cluster, err = f.cluster.complete(f.cfg.Name); err != nil {
		return err
	}
	if f.cfg.Listeners, err = f.listeners(); err != nil {
		if l := f.cfg.Cluster.Listener; l != nil {
			l.Close()
		}
		return err
	}
	n, err := node.Start(ctx, f.cfg)
	if err != nil {
		return err
	}
	f.greet(cmd, n)
	notify("READY=1")
	select {
	case <-ctx.Done():
	case err = <-n.Failed():
		logger.Error("stopping", "err", err)
	}
	signal.Reset(os.Interrupt, syscall.SIGTERM) // a second one ends the process at once
	notify("STOPPING=1")
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return errors.Join(err, n.Close(stop))
}

// complete turns flags that are text into the configuration.
func (f *serverFlags) complete(logger *slog.Logger) (err error) {
	c := &f.cfg
	c.Logger = logger
	c.NoReplace = !f.replace
	c.Now = func() time.Time { return time.Now().Add(f.clockOff) }
	c.Version = readBuildInfo().Version
	c.Root = node.Credentials{AccessKey: os.Getenv("SHERD_ROOT_USER"), SecretKey: os.Getenv("SHERD_ROOT_PASSWORD")}
	c.Etcd.Password = os.Getenv("SHERD_ETCD_PASSWORD")
	if e := c.Etcd; len(e.Endpoints) == 0 && cmp.Or(e.Username, e.CAFile, e.CertFile, e.KeyFile) != "" {
		return errors.New("--etcd-user, --etcd-ca, --etcd-cert and --etcd-key are for an external etcd: give its endpoints with --etcd")
	}
	if f.profile != "" {
		if c.Profile, err = plan.ParseProfile(f.profile); err != nil {
			return fmt.Errorf("--ec: %w", err)
		}
	}
	if f.memory != "" {
		if c.MemoryLimit, err = parseBytes(f.memory); err != nil {
			return fmt.Errorf("--memory-limit: %w", err)
		}
	}
	if err := f.checkRanges(); err != nil {
		return err
	}
	if c.HealBytes, err = parseBytes(f.healing); err != nil {
		return fmt.Errorf("--heal-bandwidth: %w", err)
	}
	switch f.quorum {
	case "strict":
	case "k":
		c.WriteQuorum = 1 // erasure raises it to k
	default:
		return fmt.Errorf("--write-quorum %q: give strict or k", f.quorum)
	}
	return nil
}

// inlineMax is up to which size objects may be kept in records: they are copied by Raft to all replicas, and held in memory.
const inlineMax = 64 << 10

// checkRanges refuses values that would do harm.
func (f *serverFlags) checkRanges() error {
	c := &f.cfg
	for _, d := range []struct {
		flag         string
		value, least time.Duration
	}{
		{"out-after", c.OutAfter, time.Second},
		{"collect-after", c.CollectAfter, time.Minute}, // a PUT that takes longer is refused
		{"control-staleness", c.ControlStaleness, time.Second},
	} {
		if d.value < d.least {
			return fmt.Errorf("--%s %s: give %s or more", d.flag, d.value, d.least)
		}
	}
	if c.InlineBytes > inlineMax {
		return fmt.Errorf("--inline-bytes %d: give at most %d", c.InlineBytes, inlineMax)
	}
	return nil
}

func (f *serverFlags) listeners() (out []net.Listener, err error) {
	conf, err := f.tlsConfig()
	if err != nil {
		return nil, err
	}
	for _, addr := range f.listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			for _, l := range out {
				l.Close()
			}
			return nil, fmt.Errorf("cannot listen on %s: %w: %s", addr, err, listenRemedy(err))
		}
		if conf != nil {
			l = tls.NewListener(l, conf)
		}
		out = append(out, l)
	}
	return out, nil
}

// listenRemedy says what helps when an address cannot be listened on.
func listenRemedy(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "stop what uses the port, or choose another with --listen"
	}
	return "give --listen an address of this machine and a port, such as 127.0.0.1:9000 or :9000"
}

// greet prints where the server is and, when they were made just now, the credentials: once.
func (f *serverFlags) greet(cmd *cobra.Command, n *node.Node) {
	w := cmd.OutOrStdout()
	scheme := "http"
	if f.tlsCert != "" || f.tlsSelfSigned {
		scheme = "https"
	}
	url := scheme + "://" + reachable(f.cfg.Listeners[0].Addr())
	fmt.Fprintf(w, "sherd serves %s, %s, %s\n", url, plural.Of(len(f.cfg.Drives), "drive"), n.Promise())
	root, fresh := n.Root()
	if !fresh {
		return
	}
	fmt.Fprintf(w, "\nNew root credentials, shown only now:\n\n"+
		"export AWS_ACCESS_KEY_ID=%s\nexport AWS_SECRET_ACCESS_KEY=%s\nexport AWS_DEFAULT_REGION=%s\n"+
		"aws --endpoint-url %s s3 mb s3://first\necho hello | aws --endpoint-url %s s3 cp - s3://first/hello\n\n",
		root.AccessKey, root.SecretKey, f.cfg.Region, url, url)
}

// reachable is an address that a client on this machine can use.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
