package state

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sherd-io/sherd/meta/keys"
)

// DiskBytes is about how much of the drive span's rows take, without what was not flushed yet.
func DiskBytes(rows *pebble.DB, span Span) (sum uint64, err error) {
	for _, r := range span.ByRoute() {
		n, err := rows.EstimateDiskUsage(r.Start, r.End)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// middleSamples bounds the keys among which Middle chooses.
const middleSamples = 512

// Middle returns a border that divides span's rows about evenly by the room they take: the route of a key, so that no key has
// rows on both sides. nil: there are no two keys to divide. It looks at every key once.
func Middle(ctx context.Context, rows *pebble.DB, span Span) ([]byte, error) {
	routes, err := sampleRoutes(ctx, rows, span)
	if err != nil || len(routes) < 2 {
		return nil, err
	}
	whole, err := DiskBytes(rows, span)
	if err != nil {
		return nil, err
	}
	if whole == 0 {
		return routes[len(routes)/2], nil
	}
	low, high := 1, len(routes)-1
	for low < high {
		mid := (low + high) / 2
		left, err := DiskBytes(rows, Span{ID: span.ID, Start: span.Start, End: routes[mid]})
		if err != nil {
			return nil, err
		}
		if left < whole/2 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return routes[low], nil
}

// sampleRoutes takes every n-th key's route, n doubled whenever there are too many.
func sampleRoutes(ctx context.Context, rows pebble.Reader, span Span) (routes [][]byte, err error) {
	bounds := span.table(keys.Versions)
	it, err := rows.NewIter(&pebble.IterOptions{LowerBound: bounds.Start, UpperBound: bounds.End})
	if err != nil {
		return nil, err
	}
	defer closeInto(it, &err)
	every := 1
	for i, ok := 0, it.First(); ok; i, ok = i+1, it.NextPrefix() {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if i%every != 0 {
			continue
		}
		k := it.Key()
		routes = append(routes, bytes.Clone(k[1:keys.Comparer.Split(k)]))
		if len(routes) == middleSamples {
			for j := range middleSamples / 2 {
				routes[j] = routes[2*j]
			}
			routes, every = routes[:middleSamples/2], 2*every
		}
	}
	return routes, nil
}
