package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Budget divides one --memory-limit among all that the node runs, in bytes (DESIGN §8).
type Budget struct {
	Limit    int64 // of all processes of the node together
	Etcd     int64 // the etcd child's Go memory limit
	Go       int64 // the server's own Go memory limit
	Cache    int64 // one Pebble block cache for all drives
	Memtable int64 // one memtable of one drive; a drive has at most two
	Requests int   // how many requests are served at once
}

const (
	mib = 1 << 20

	// MemoryLimitMin is the least limit under which the parts fit.
	MemoryLimitMin = 384 * mib

	// requestBytes is what one request holds at most: two stripes with their parity, and its slack.
	requestBytes = 4 * mib
)

// Divide splits limit over a node with the given number of drives.
func Divide(limit int64, drives int) (Budget, error) {
	if limit < MemoryLimitMin {
		return Budget{}, fmt.Errorf("memory limit %d MiB is too small: give at least %d MiB", limit/mib, MemoryLimitMin/mib)
	}
	b := Budget{Limit: limit}
	b.Etcd = min(max(limit/8, 96*mib), 512*mib)
	b.Go = limit - b.Etcd
	b.Cache = min(b.Go/6, 8<<30)
	b.Memtable = min(max(b.Go/8/int64(max(drives, 1))/2, 1*mib), 64*mib)
	left := b.Go - b.Cache - 2*b.Memtable*int64(drives)
	b.Requests = int(min(max(left/2/requestBytes, 16), 4096))
	return b, nil
}

// DefaultMemoryLimit is a quarter of the machine's or the cgroup's memory, at least MemoryLimitMin.
func DefaultMemoryLimit() int64 {
	total := int64(1 << 30)
	if n, err := memTotal("/proc/meminfo"); err == nil {
		total = n
	}
	if n, err := cgroupLimit("/sys/fs/cgroup/memory.max"); err == nil {
		total = min(total, n)
	}
	return max(total/4, MemoryLimitMin)
}

func memTotal(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no MemTotal in " + path)
}

func cgroupLimit(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64) // "max" is an error: no limit
}
