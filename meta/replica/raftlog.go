package replica

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sherd-io/sherd/internal/ids"
)

// raftLogger gives Raft's words to slog. Its information is for debugging: elections are reported by the host.
type raftLogger struct {
	log   *slog.Logger
	drive ids.Drive
	rng   ids.Range
}

func (l raftLogger) out(level slog.Level, format string, v []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "raft: "+fmt.Sprintf(format, v...), "drive", l.drive, "range", uint64(l.rng))
	}
}

func (l raftLogger) Debug(v ...any)                 { l.out(slog.LevelDebug, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Debugf(format string, v ...any) { l.out(slog.LevelDebug, format, v) }
func (l raftLogger) Info(v ...any)                  { l.Debug(v...) }
func (l raftLogger) Infof(format string, v ...any)  { l.out(slog.LevelDebug, format, v) }
func (l raftLogger) Warning(v ...any)               { l.Debug(v...) }
func (l raftLogger) Warningf(format string, v ...any) {
	l.out(slog.LevelDebug, format, v)
}
func (l raftLogger) Error(v ...any)                 { l.out(slog.LevelError, "%s", []any{fmt.Sprint(v...)}) }
func (l raftLogger) Errorf(format string, v ...any) { l.out(slog.LevelError, format, v) }
func (l raftLogger) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (l raftLogger) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (l raftLogger) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
