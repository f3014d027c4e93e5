package adminapi

import "time"

// The calls below are about ranges that have lost most of their replicas (I4).
//
//	GET  meta/recover   []LostRange
//	POST meta/recover   RecoverRequest -> []Range   when those that were named have a leader again

// LostRange is a range that no majority of its replicas can serve, and what is left of it.
type LostRange struct {
	ID         uint64   `json:"id"`
	Generation uint64   `json:"generation"`
	Start      string   `json:"start,omitempty"` // BUCKET/KEY; empty: before all keys
	End        string   `json:"end,omitempty"`   // of the next range; empty: past all keys
	Buckets    []string `json:"buckets"`         // with keys in it, or room for some
	// Survivors are the replicas that are left; the first, which has most, is what the range would go on from.
	Survivors []SurvivingReplica `json:"survivors"`
	Lost      []LostReplica      `json:"lost"`
	// Whole: the survivors have all that was acknowledged. Else what came after the first one's Last may be missing.
	Whole   bool   `json:"whole"`
	Refused string `json:"refused,omitempty"` // why it cannot be recovered now; empty: it can
}

// SurvivingReplica is one that runs, and where its log ends.
type SurvivingReplica struct {
	ID     uint64    `json:"id"`
	Drive  string    `json:"drive"`
	Node   string    `json:"node"`
	Path   string    `json:"path"`
	Term   uint64    `json:"term"`
	Index  uint64    `json:"index"`
	Commit uint64    `json:"commit"`        // how far it knows the log to be committed
	Last   time.Time `json:"last,omitzero"` // of the newest change that it has
}

// LostReplica is one that nobody has.
type LostReplica struct {
	ID    uint64    `json:"id"`
	Drive string    `json:"drive"`
	Node  string    `json:"node"`
	Path  string    `json:"path"`
	State string    `json:"state"` // of the drive: up, suspect, down, out
	Since time.Time `json:"since"`
}

// RecoverRequest names ranges that are to go on with their survivors.
type RecoverRequest struct {
	Ranges []RecoverRange `json:"ranges"`
}

// RecoverRange is a range as it was shown: if it is another by then, nothing is done.
type RecoverRange struct {
	ID         uint64 `json:"id"`
	Generation uint64 `json:"generation"`
	From       uint64 `json:"from"`  // the first survivor's id
	Index      uint64 `json:"index"` // where its log ended
}
