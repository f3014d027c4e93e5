package node

import (
	"slices"
	"testing"

	"github.com/sherd-io/sherd/erasure/heal"
)

// TestLedgerCountsTheLostOnce: blobs that lack more than m shards are among those that lack some.
func TestLedgerCountsTheLostOnce(t *testing.T) {
	short := []int64{5, 1, 0, 2}
	if got := ledgerOf(heal.Ledger{Short: short, Lost: 2}).Short; !slices.Equal(got, short) {
		t.Errorf("%v, of %v", got, short)
	}
}
