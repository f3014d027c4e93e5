package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag for a number of bytes: 4096, 4KiB, 1.5GiB, 10MB.
type byteSize struct {
	n   int64
	set bool
}

var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1},
}

// parseBytes reads a size; none is negative.
func parseBytes(text string) (int64, error) {
	s, unit := strings.ToLower(strings.TrimSpace(text)), 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v*unit > math.MaxInt64/2 || math.IsNaN(v) {
		return 0, fmt.Errorf("%q is not a size such as 4096, 512KiB or 1.5GiB", text)
	}
	return int64(v * unit), nil
}

// formatBytes writes n as people read it, in binary units.
func formatBytes(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/(1<<10), 0
	for ; v >= 1024 && i < 4; i++ {
		v /= 1024
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + []string{"KiB", "MiB", "GiB", "TiB", "PiB"}[i]
}

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	n, err := parseBytes(s)
	if err == nil {
		b.n, b.set = n, true
	}
	return err
}

// String implements pflag.Value.
func (b *byteSize) String() string {
	if !b.set && b.n == 0 {
		return ""
	}
	return strconv.FormatInt(b.n, 10)
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }
