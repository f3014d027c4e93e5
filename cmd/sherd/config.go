package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// A setting is taken from its flag; else from the environment, SHERD_ and the flag's name in capitals with _
// for -; else from the file that --config (or SHERD_CONFIG) names, under the flag's name; else it has its
// default. Drives, the server's arguments, are "drives" in the file and SHERD_DRIVES (separated by spaces) in
// the environment.
//
// Credentials are no flags, so that they do not show in a list of processes: SHERD_ROOT_USER and
// SHERD_ROOT_PASSWORD come from the environment alone.

const (
	configFlag  = "config"
	drivesKey   = "drives"
	envPrefix   = "SHERD_"
	configBytes = 1 << 20 // more is no configuration
)

// addConfigFlag lets cmd read a configuration file.
func addConfigFlag(cmd *cobra.Command) {
	cmd.Flags().String(configFlag, "", "YAML file with any of these flags, and \"drives\"")
}

// addServerConfig lets cmd read the server's configuration file. Of the server's settings it takes into f those that cmd has
// not itself; only the named ones are shown in its help. Call it when cmd has its own flags.
func addServerConfig(cmd *cobra.Command, f *serverFlags, shown ...string) {
	var server cobra.Command
	f.add(&server)
	server.Flags().VisitAll(func(fl *pflag.Flag) {
		if cmd.Flags().Lookup(fl.Name) == nil {
			fl.Hidden = fl.Name != configFlag && !slices.Contains(shown, fl.Name)
			cmd.Flags().AddFlag(fl)
		}
	})
}

// lookup is os.LookupEnv, or a test's.
type lookup func(name string) (string, bool)

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyConfig sets the flags of cmd that were not given from the environment and the configuration file.
func applyConfig(cmd *cobra.Command, env lookup) error {
	flags := cmd.Flags()
	file := map[string][]string{}
	var path string
	if f := flags.Lookup(configFlag); f != nil {
		path = f.Value.String()
		if v, ok := env(envName(configFlag)); ok && !f.Changed {
			path = v
		}
	}
	if path != "" {
		var err error
		if file, err = readConfig(path); err != nil {
			return err
		}
	}
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		fromFile, inFile := file[f.Name]
		delete(file, f.Name)
		if f.Changed || f.Name == configFlag || f.Name == "help" {
			return
		}
		if v, ok := env(envName(f.Name)); ok {
			if err := setFlag(flags, f, []string{v}); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", envName(f.Name), err))
			}
		} else if inFile {
			if err := setFlag(flags, f, fromFile); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", path, f.Name, err))
			}
		}
	})
	delete(file, drivesKey)
	for _, key := range slices.Sorted(mapKeys(file)) {
		errs = append(errs, fmt.Errorf("%s: no setting is called %q: see packaging/sherd.yaml for all", path, key))
	}
	return errors.Join(errs...)
}

// strangers are the variables of the environment that begin as the settings' do and are none: slips, most likely. They stop nothing, for
// Kubernetes makes such variables of a service's name.
func strangers(flags *pflag.FlagSet, environ []string) (names []string) {
	known := []string{envName(drivesKey), "SHERD_ROOT_USER", "SHERD_ROOT_PASSWORD", "SHERD_ETCD_PASSWORD"} // no flags'
	flags.VisitAll(func(f *pflag.Flag) { known = append(known, envName(f.Name)) })
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, envPrefix) && !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func mapKeys(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func setFlag(flags *pflag.FlagSet, f *pflag.Flag, values []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok && len(values) != 1 {
		f.Changed = true
		return list.Replace(values)
	}
	if len(values) != 1 {
		return errors.New("takes one value, not a list")
	}
	return flags.Set(f.Name, values[0])
}

var errNoDrives = errors.New("give the node's drives, as for `sherd server`")

// nodeDrives are the paths of the drives that arguments, environment or file name, in that order. There may be none.
func nodeDrives(cmd *cobra.Command, args []string) ([]string, error) {
	given, err := configDrives(cmd, args, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return expandDrives(given)
}

// configDrives are the drives that environment or file name when none was an argument.
func configDrives(cmd *cobra.Command, args []string, env lookup) ([]string, error) {
	if len(args) > 0 {
		return args, nil
	}
	if v, ok := env(envName(drivesKey)); ok {
		return strings.Fields(v), nil
	}
	f := cmd.Flags().Lookup(configFlag)
	if f == nil {
		return nil, nil
	}
	path := f.Value.String()
	if v, ok := env(envName(configFlag)); ok && !f.Changed {
		path = v
	}
	if path == "" {
		return nil, nil
	}
	file, err := readConfig(path)
	return file[drivesKey], err
}

// readConfig reads a YAML file of one level: a scalar or a list of scalars under each key.
func readConfig(path string) (map[string][]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if info.Size() > configBytes {
		return nil, fmt.Errorf("--config: %s has %s: that is no configuration", path, formatBytes(info.Size()))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	out, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

func parseConfig(text []byte) (map[string][]string, error) {
	var nodes map[string]yaml.Node
	if err := yaml.Unmarshal(text, &nodes); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for key, node := range nodes {
		switch node.Kind {
		case yaml.ScalarNode:
			if node.Tag != "!!null" {
				out[key] = []string{node.Value}
			}
		case yaml.SequenceNode:
			out[key] = []string{}
			for _, item := range node.Content {
				if item.Kind != yaml.ScalarNode {
					return nil, fmt.Errorf("line %d: %s takes a list of plain values", item.Line, key)
				}
				out[key] = append(out[key], item.Value)
			}
		default:
			return nil, fmt.Errorf("line %d: %s takes a value or a list", node.Line, key)
		}
	}
	return out, nil
}
