package node

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/sherd-io/sherd/cmd/sherd/node/cluster"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/trust"
)

// I24: a node gets a new certificate for its own name, whatever name its request says, and only of one that can sign.
func TestI24_RenewSignsForTheAsker(t *testing.T) {
	papers, authority, err := cluster.First(ids.NewCluster(), "n2", time.Now())
	must(t, err)
	request, key, err := trust.Request("n1")
	must(t, err)
	body, err := json.Marshal(request)
	must(t, err)
	if _, err := (&peers{}).renew("n2", body); !errors.Is(err, errNoSigner) {
		t.Errorf("a node without the authority's key: %v", err)
	}
	cert, err := (&peers{signer: authority}).renew("n2", body)
	must(t, err)
	id, err := papers.Renewed(cert.([]byte), key).Identity(time.Now())
	must(t, err)
	if id.Node != "n2" {
		t.Errorf("the certificate names %q", id.Node)
	}
}
