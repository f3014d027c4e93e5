package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ownCPU is the CPU time this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// TreeCPU is the CPU time that process pid, all its descendants and its reaped children have used.
func TreeCPU(pid int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	type process struct {
		parent int
		cpu    time.Duration
	}
	all := map[int]process{}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if stat, err := os.ReadFile("/proc/" + e.Name() + "/stat"); err == nil { // it may have ended
			parent, cpu := parseStat(stat)
			all[id] = process{parent, cpu}
		}
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("bench: no process %d", pid)
	}
	total := time.Duration(0)
	for id, p := range all {
		for at, steps := id, 0; steps < 64; steps++ {
			if at == pid {
				total += p.cpu
				break
			}
			up, ok := all[at]
			if !ok {
				break
			}
			at = up.parent
		}
	}
	return total, nil
}

// parseStat reads the parent and utime+stime+cutime+cstime; see proc_pid_stat(5). The command's name, in
// parentheses, may hold anything.
func parseStat(stat []byte) (parent int, cpu time.Duration) {
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 15 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(f[1]))
	for _, field := range f[11:15] {
		n, _ := strconv.ParseInt(string(field), 10, 64)
		cpu += time.Duration(n) * tick
	}
	return parent, cpu
}

// settle waits until the server is idle, so that what one run left to do is not counted for the next: under
// 5 % of a core for half a second, or a minute at most.
func settle(ctx context.Context, pid int) error {
	if pid == 0 {
		return nil
	}
	const step = 500 * time.Millisecond
	last, err := TreeCPU(pid)
	for range int(time.Minute / step) {
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step):
		}
		var now time.Duration
		if now, err = TreeCPU(pid); now-last < step/20 {
			return err
		}
		last = now
	}
	return nil
}
