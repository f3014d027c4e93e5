package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// drivesMax bounds what one command line can name: a slip such as {1...60000} is told, not obeyed.
const drivesMax = 1024

// expandDrives turns arguments into clean, absolute paths. {1...6} counts, {01...12} with leading zeros, and
// several of them in one argument give every combination, the last counting fastest. No path comes twice.
func expandDrives(args []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, arg := range args {
		paths, err := expandBraces(arg)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			abs, err := filepath.Abs(p)
			if err != nil {
				return nil, err
			}
			if seen[abs] {
				return nil, fmt.Errorf("drive %s is given twice", abs)
			}
			seen[abs] = true
			out = append(out, abs)
		}
		if len(out) > drivesMax {
			return nil, fmt.Errorf("more than %d drives on one node: is %q what you meant?", drivesMax, arg)
		}
	}
	return out, nil
}

// expandBraces replaces every {FIRST...LAST} of s.
func expandBraces(s string) ([]string, error) {
	before, rest, ok := strings.Cut(s, "{")
	if !ok {
		if s == "" {
			return nil, fmt.Errorf("an empty drive path")
		}
		return []string{s}, nil
	}
	inside, after, closed := strings.Cut(rest, "}")
	first, last, dots := strings.Cut(inside, "...")
	if !closed || !dots {
		return nil, fmt.Errorf("drive %q: write a row of drives as {1...6}", s)
	}
	a, errA := strconv.ParseUint(first, 10, 31)
	b, errB := strconv.ParseUint(last, 10, 31)
	if errA != nil || errB != nil || a > b || b-a >= drivesMax {
		return nil, fmt.Errorf("drive %q: {%s} is no row of numbers such as {1...6}", s, inside)
	}
	digits := 0
	if strings.HasPrefix(first, "0") && len(first) > 1 {
		digits = len(first)
	}
	var tails []string
	if after == "" {
		tails = []string{""}
	} else {
		var err error
		if tails, err = expandBraces(after); err != nil {
			return nil, err
		}
	}
	if int(b-a+1)*len(tails) > drivesMax {
		return nil, fmt.Errorf("drive %q: more than %d drives", s, drivesMax)
	}
	var out []string
	for n := a; n <= b; n++ {
		for _, tail := range tails {
			out = append(out, fmt.Sprintf("%s%0*d%s", before, digits, n, tail))
		}
	}
	return out, nil
}
