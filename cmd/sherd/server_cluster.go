package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sherd-io/sherd/cmd/sherd/node"
)

// clusterFlags are those of a server that is one node of several.
type clusterFlags struct {
	cfg        node.ClusterConfig
	founders   []string
	nodeListen string
	roles      []string
	secretFile string
}

func (f *clusterFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.cfg.Advertise, "advertise", "", "host:port where other nodes reach this one (default: what --cluster says of it)")
	fl.StringVar(&f.nodeListen, "node-listen", "", "address of the node port (default: that of --advertise)")
	fl.StringSliceVar(&f.founders, "cluster", nil, "the nodes that begin the cluster together, with their addresses: n1=host1:9001,n2=host2:9001")
	fl.StringVar(&f.cfg.Secret, "cluster-secret", "", "secret that the nodes of --cluster share, at least 16 characters; rather give SHERD_CLUSTER_SECRET")
	fl.StringVar(&f.secretFile, "cluster-secret-file", "", "file with it")
	fl.StringVar(&f.cfg.Join, "join", "", "address of a node port: join that cluster, with --token")
	fl.StringVar(&f.cfg.Token, "token", "", "what `sherd node token` has made; needed at the first start only")
	fl.StringSliceVar(&f.roles, "roles", []string{"gateway", "storage"}, "what the node does: gateway serves S3, storage has drives")
	fl.StringVar(&f.cfg.StateDir, "state", "", "directory where a node without drives keeps its certificate (default: $STATE_DIRECTORY)")
	fl.BoolVar(&f.cfg.Plain, "insecure-node-plaintext", false, "no TLS and no certificates between nodes: only where nobody else can reach them")
}

// alone reports flags of a node that is none of several.
func (f *clusterFlags) alone() bool {
	return f.cfg.Advertise == "" && f.cfg.Join == "" && len(f.founders) == 0
}

// complete turns the flags into the node's configuration, and opens the node port.
func (f *clusterFlags) complete(name string) (node.ClusterConfig, error) {
	c := f.cfg
	var err error
	if c.Founders, err = parseFounders(f.founders); err != nil {
		return c, err
	}
	if c.Advertise == "" {
		c.Advertise = c.Founders[name]
	}
	if f.secretFile != "" {
		if c.Secret != "" {
			return c, errors.New("give --cluster-secret or --cluster-secret-file, not both")
		}
		b, err := os.ReadFile(f.secretFile)
		if err != nil {
			return c, fmt.Errorf("--cluster-secret-file: %w", err)
		}
		c.Secret = strings.TrimSpace(string(b))
	}
	if c.Advertise == "" {
		return c, nil // node.Start says what is missing, if something is
	}
	if err := checkAddress(c.Advertise); err != nil {
		return c, fmt.Errorf("--advertise: %w", err)
	}
	if c.StateDir == "" {
		c.StateDir = os.Getenv("STATE_DIRECTORY") // of systemd
	}
	listen := f.nodeListen
	if listen == "" {
		listen = c.Advertise
	}
	if c.Listener, err = net.Listen("tcp", listen); err != nil {
		return c, fmt.Errorf("cannot listen on %s for other nodes: %w: stop what uses the port, or say with --node-listen where this machine has it", listen, err)
	}
	return c, nil
}

// parseRoles says whether the node serves S3, and whether it has drives.
func parseRoles(roles []string) (gateway, storage bool, err error) {
	for _, r := range roles {
		switch strings.TrimSpace(r) {
		case "gateway":
			gateway = true
		case "storage":
			storage = true
		default:
			return false, false, fmt.Errorf("--roles: %q is none: give gateway, storage, or both", r)
		}
	}
	if !gateway && !storage {
		return false, false, errors.New("--roles: give gateway, storage, or both")
	}
	return gateway, storage, nil
}

// parseFounders reads n1=host:port, ….
func parseFounders(list []string) (map[string]string, error) {
	founders := map[string]string{}
	taken := map[string]string{}
	for _, text := range list {
		name, addr, ok := strings.Cut(strings.TrimSpace(text), "=")
		if !ok {
			return nil, fmt.Errorf("--cluster: %q is not of the form n1=host:port", text)
		}
		if err := checkAddress(addr); err != nil {
			return nil, fmt.Errorf("--cluster: %s: %w", name, err)
		}
		if founders[name] != "" {
			return nil, fmt.Errorf("--cluster names %s twice", name)
		}
		if other := taken[addr]; other != "" {
			return nil, fmt.Errorf("--cluster: %s and %s have one address", other, name)
		}
		founders[name], taken[addr] = addr, name
	}
	if len(founders) == 1 {
		return nil, errors.New("--cluster names one node only: it names all that begin the cluster together; leave it out for a first node that others join")
	}
	return founders, nil
}

// checkAddress wants a host that others can use, and a port.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%s: give a host that the other nodes can reach", addr)
	}
	if port == "" || port == "0" {
		return fmt.Errorf("%s: give a port", addr)
	}
	return nil
}
