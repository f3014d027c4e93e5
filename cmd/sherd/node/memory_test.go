package node

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBudgetNeverExceedsTheLimit(t *testing.T) {
	for _, limit := range []int64{MemoryLimitMin, 512 * mib, 2 << 30, 64 << 30} {
		for _, drives := range []int{1, 2, 6, 24} {
			b, err := Divide(limit, drives)
			if err != nil {
				t.Fatal(err)
			}
			if b.Etcd+b.Go > limit {
				t.Errorf("limit %d, %d drives: etcd %d + go %d", limit, drives, b.Etcd, b.Go)
			}
			held := b.Cache + 2*b.Memtable*int64(drives) + int64(b.Requests)*requestBytes
			if held > b.Go && drives <= 6 {
				t.Errorf("limit %d MiB, %d drives: %d MiB promised of %d", limit/mib, drives, held/mib, b.Go/mib)
			}
			if b.Requests < 16 {
				t.Errorf("only %d requests", b.Requests)
			}
		}
	}
	if _, err := Divide(MemoryLimitMin-1, 6); err == nil {
		t.Error("a limit that is too small was accepted")
	}
}

func TestMemoryFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if n, err := memTotal(write("meminfo", "MemFree: 1 kB\nMemTotal:       2048 kB\n")); err != nil || n != 2<<20 {
		t.Errorf("memTotal = %d, %v", n, err)
	}
	if _, err := cgroupLimit(write("max", "max\n")); err == nil {
		t.Error(`"max" is a limit`)
	}
	if n, err := cgroupLimit(write("limit", "1073741824\n")); err != nil || n != 1<<30 {
		t.Errorf("cgroupLimit = %d, %v", n, err)
	}
}
