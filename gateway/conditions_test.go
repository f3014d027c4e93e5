package gateway

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

// TestHTTPTime: appendHTTPTime is time.Format of http.TimeFormat, in all years that a stamp can have.
func TestHTTPTime(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	end := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for range 10_000 {
		at := time.Unix(rng.Int64N(end), rng.Int64N(1e9)).In(time.FixedZone("", 3600))
		if got, want := string(appendHTTPTime(nil, at)), at.UTC().Format(http.TimeFormat); got != want {
			t.Fatalf("%v is %q, want %q", at, got, want)
		}
	}
}
