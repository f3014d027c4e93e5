package store

import (
	"bytes"
	"sync"
	"testing"

	"github.com/sherd-io/sherd/internal/ids"
)

// I24: nodes that come to an etcd at one time agree on one cluster and one authority.
func TestI24_TrustThroughEtcd(t *testing.T) {
	te := newEtcd(t)
	results := make([]Trust, 4)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			got, err := AgreeOnTrust(testContext(t), Options{Endpoints: []string{te.endpoint()}}, Trust{Cluster: ids.NewCluster(), Seed: bytes.Repeat([]byte{byte(i)}, 32)})
			if err != nil {
				t.Error(err)
			}
			results[i] = got
		})
	}
	all.Wait()
	for _, r := range results {
		if r.Cluster != results[0].Cluster || !bytes.Equal(r.Seed, results[0].Seed) || r.Begun {
			t.Errorf("%+v and %+v", r, results[0])
		}
	}
}
