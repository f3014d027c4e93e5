package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// logFlags choose what is logged, and how.
type logFlags struct{ level, format string }

func (l *logFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.level, "log-level", "info", "least level that is logged: debug, info, warn or error")
	f.StringVar(&l.format, "log-format", "auto", "text, json, or auto: text on a terminal and JSON else")
}

// logger returns one that writes to stderr.
func (l *logFlags) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: give debug, info, warn or error", l.level)
	}
	opt := &slog.HandlerOptions{Level: level}
	switch {
	case l.format == "text" || (l.format == "auto" && isTerminal(os.Stderr)):
		return slog.New(slog.NewTextHandler(os.Stderr, opt)), nil
	case l.format == "json" || l.format == "auto":
		return slog.New(slog.NewJSONHandler(os.Stderr, opt)), nil
	}
	return nil, fmt.Errorf("--log-format %q: give text, json or auto", l.format)
}

// isTerminal reports whether f is one that a person looks at.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
