package member

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// BenchmarkRestart starts five members that have data, until a quorum serves.
func BenchmarkRestart(b *testing.B) {
	opt := testOptions(b, 5)
	s := start(b, opt)
	put(b, s, "a", "1")
	s.Close()
	opt.Bootstrap = false
	for b.Loop() {
		s, err := Start(context.Background(), opt)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkIdle measures the child with n members and 300 small rows, at rest.
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{1, 5, 7} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := start(b, testOptions(b, n))
			for i := range 300 {
				put(b, s, fmt.Sprint("k", i), "{some record of the usual size, a few hundred bytes or so, which this is not}")
			}
			before := cpuTicks(b, s.Pid())
			began := time.Now()
			time.Sleep(5 * time.Second) // what is measured is the passing of time
			b.ReportMetric(float64(cpuTicks(b, s.Pid())-before)/time.Since(began).Seconds(), "cpu-%")
			b.ReportMetric(float64(rssKiB(b, s.Pid()))/1024, "RSS-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cpuTicks is a process's CPU time in hundredths of a second.
func cpuTicks(b *testing.B, pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	user, _ := strconv.Atoi(string(f[11]))
	system, _ := strconv.Atoi(string(f[12]))
	return user + system
}

func rssKiB(b *testing.B, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, _ := strconv.Atoi(string(bytes.Fields(after)[0]))
	return kib
}
