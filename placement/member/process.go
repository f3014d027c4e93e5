package member

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one run of the child. Its events end when it has ended.
type process struct {
	cmd    *exec.Cmd
	events chan event
	exited chan struct{} // closed after the last event
	err    error         // of the exit; read after exited

	mu sync.Mutex
	in io.WriteCloser
}

// spawn starts the child in dir. The kernel ends it with the thread that started it, so that thread is kept for it; and
// its input ends with this process.
func spawn(opt *Options, dir string) (*process, error) {
	cmd := exec.Command(opt.Command[0], opt.Command[1:]...)
	if cmd.Path == selfExe {
		cmd.Args[0] = os.Args[0] // for people who look at the processes
	}
	cmd.Dir = dir
	cmd.Env = childEnv(opt.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // ^C on a terminal is for the server, which stops the child in its turn
		Pdeathsig: syscall.SIGTERM,
	}
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	log, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	p := &process{cmd: cmd, in: in, events: make(chan event, 64), exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // until the child has ended: see Pdeathsig in prctl(2)
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.follow(opt, out, log)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("member: starting %s: %w", opt.Command[0], err)
	}
	err := p.send(settings{
		MemoryBytes: opt.MemoryBytes,
		HeartbeatMs: uint(opt.HeartbeatEvery.Milliseconds()),
		ElectionMs:  uint(opt.ElectionAfter.Milliseconds()),
		Dir:         dir,
	})
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// childEnv is the environment without what the child has no business with.
func childEnv(extra []string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SHERD_") && !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "ETCD_") {
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}

// follow passes events and log lines on until the child has ended.
func (p *process) follow(opt *Options, out, log io.Reader) {
	var logs sync.WaitGroup
	logs.Go(func() { relay(opt, log) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			p.events <- e
		}
	}
	logs.Wait()
	p.err = p.cmd.Wait()
	close(p.events)
	close(p.exited)
}

// relay writes the child's log lines to ours.
func relay(opt *Options, log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 256<<10)
	for lines.Scan() {
		var e struct{ Level, Msg, Member, Error string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			level := slog.LevelDebug // a panic's trace, most likely: its first line will do
			if strings.HasPrefix(lines.Text(), "panic:") || strings.HasPrefix(lines.Text(), "fatal error:") {
				level = slog.LevelWarn
			}
			opt.Logger.Log(context.Background(), level, "etcd: "+lines.Text())
			continue
		}
		level := slog.LevelDebug // its warnings and errors are about things that the supervisor sees to
		if e.Level == "fatal" || strings.HasSuffix(e.Level, "panic") {
			level = slog.LevelWarn
		}
		opt.Logger.Log(context.Background(), level, "etcd: "+e.Msg, "member", e.Member, "error", e.Error)
	}
	io.Copy(io.Discard, log) // after a line too long
}

func (p *process) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.in.Write(append(b, '\n'))
	return err
}

// command tells the child, if there is one and it has not just ended. p may be nil.
func (p *process) command(c command) {
	if p != nil {
		p.send(c) // an error: it has ended
	}
}

// stop asks the child to end and waits; after grace it is killed, which loses nothing that was acknowledged.
func (p *process) stop(grace time.Duration) {
	p.command(command{Keep: true})
	p.mu.Lock()
	p.in.Close()
	p.mu.Unlock()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.exited:
	case <-t.C:
		p.kill()
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}
