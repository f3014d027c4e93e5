package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/sherd-io/sherd/internal/poll"
)

const secret = "sixteen bytes at least"

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// identity is a node of a, as it would make and load it.
func identity(t testing.TB, a *Authority, node string, now time.Time) *Identity {
	t.Helper()
	request, key, err := Request(node)
	if err != nil {
		t.Fatal(err)
	}
	cert := must(a.Sign(request, node, now))(t)
	return must(Load(cert, key, a.Certificate(), now))(t)
}

// shake makes a connection between a client's and a server's configuration, says a word each way, and gives the server's state and both ends' errors.
func shake(t *testing.T, client, server *tls.Config) (at tls.ConnectionState, c, s error) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(poll.Within))
		conn := tls.Server(nc, server)
		if err = conn.Handshake(); err == nil {
			at = conn.ConnectionState()
			_, err = conn.Write([]byte("welcome"))
		}
		served <- err
	}()
	nc := must(net.Dial("tcp", l.Addr().String()))(t)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(poll.Within))
	conn := tls.Client(nc, client)
	if c = conn.Handshake(); c == nil {
		_, c = conn.Read(make([]byte, 1)) // in TLS 1.3 the server's refusal comes after the handshake
	}
	nc.Close()
	s = <-served
	return at, c, s
}

// I24: nodes that share a secret derive one authority and one cluster; another secret gives others.
func TestI24_SharedSecret(t *testing.T) {
	a, id, err := FromSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "59e2b3d9b35c77feb472d9704beb488d fc669be433e49efe3fb3bd018f4c312efad6d41c38e2b2afb6ec70761f242d4a" // version 1: a cluster must find itself again
	if got := fmt.Sprintf("%s %x", id, a.Hash()); got != golden {
		t.Errorf("%q gives %s, not %s", secret, got, golden)
	}
	b, again, _ := FromSecret(secret)
	other, otherID, _ := FromSecret(secret + "!")
	if !bytes.Equal(a.Certificate(), b.Certificate()) || id != again {
		t.Error("derived twice, different")
	}
	if bytes.Equal(a.Certificate(), other.Certificate()) || id == otherID {
		t.Error("two secrets, one authority")
	}
	if k := a.WrapKey(); len(k) != 32 || !bytes.Equal(k, b.WrapKey()) || bytes.Equal(k, other.WrapKey()) || bytes.Equal(k, a.Seed()) {
		t.Error("the keys that follow from secrets")
	}
	if _, _, err := FromSecret("short"); !errors.Is(err, ErrSecret) {
		t.Error(err)
	}
	restored := must(Parse(a.Seed()))(t)
	if restored.Hash() != a.Hash() {
		t.Error("the authority changed in its seed")
	}
}

// I24: who may connect, and to whom.
func TestI24_Connections(t *testing.T) {
	now := time.Now()
	a, _, _ := FromSecret(secret)
	foreign := must(New())(t)
	n1, n2 := identity(t, a, "n1", now), identity(t, a, "n2", now)
	member := func(node string) bool { return node == "n1" || node == "n2" }
	server := n2.Server(member, []string{"sherd/1"}, "sherd-join/1")
	noCert := n1.Client("n2", "sherd/1")
	noCert.Certificates, noCert.ClientSessionCache = nil, nil
	old := identity(t, a, "n1", now)
	old.cert = expired(t, a, "n1")
	for _, c := range []struct {
		name   string
		client *tls.Config
		ok     bool
	}{
		{"a node of the cluster", n1.Client("n2", "sherd/1"), true},
		{"to another node than meant", n1.Client("n3", "sherd/1"), false},
		{"of another authority", identity(t, foreign, "n1", now).Client("n2", "sherd/1"), false},
		{"not in the map", identity(t, a, "n9", now).Client("n2", "sherd/1"), false},
		{"without a certificate", noCert, false},
		{"with an expired one", old.Client("n2", "sherd/1"), false},
		{"of no protocol", n1.Client("n2", "http/1.1"), false},
		{"one who joins", Joining(a.Hash(), "sherd-join/1"), true},
		{"one who joins another cluster", Joining(foreign.Hash(), "sherd-join/1"), false},
		{"one who joins and wants more", Joining(a.Hash(), "sherd/1"), false},
	} {
		state, client, served := shake(t, c.client, server)
		if ok := client == nil && served == nil; ok != c.ok {
			t.Errorf("%s: %v; the server: %v", c.name, client, served)
		}
		if c.name == "a node of the cluster" {
			if peer, err := n2.Peer(state); err != nil || peer != "n1" {
				t.Errorf("it is taken for %q: %v", peer, err)
			}
		}
	}
}

// I24: a session that is resumed is no way around what is asked of a connection.
func TestI24_Resumed(t *testing.T) {
	now := time.Now()
	a, _, _ := FromSecret(secret)
	n1, n2 := identity(t, a, "n1", now), identity(t, a, "n2", now)
	members := map[string]bool{"n1": true}
	server := n2.Server(func(node string) bool { return members[node] }, []string{"sherd/1"}, "sherd-join/1")
	for i := range 3 {
		state, c, s := shake(t, n1.Client("n2", "sherd/1"), server)
		if c != nil || s != nil || state.DidResume != (i > 0) {
			t.Fatalf("connection %d: %v; %v; resumed %v", i, c, s, state.DidResume)
		}
		if peer, err := n2.Peer(state); err != nil || peer != "n1" {
			t.Errorf("connection %d is taken for %q: %v", i, peer, err)
		}
	}
	if state, c, s := shake(t, n1.Client("n3", "sherd/1"), server); c == nil || state.DidResume {
		t.Errorf("n2 is taken for n3: %v; resumed %v", s, state.DidResume)
	}
	delete(members, "n1")
	if _, c, s := shake(t, n1.Client("n2", "sherd/1"), server); c == nil || s == nil {
		t.Error("a node that is not in the map any more resumes its session")
	}
}

// expired is a certificate whose time is over, with its key.
func expired(t *testing.T, a *Authority, node string) tls.Certificate {
	t.Helper()
	request, key, err := Request(node)
	if err != nil {
		t.Fatal(err)
	}
	return must(tls.X509KeyPair(must(a.Sign(request, node, time.Now().Add(-2*certLife)))(t), key))(t)
}

// The name in a certificate is what the authority was told, not what the request says.
func TestSignNames(t *testing.T) {
	now := time.Now()
	a := must(New())(t)
	request, key, err := Request("root-of-all")
	if err != nil {
		t.Fatal(err)
	}
	id := must(Load(must(a.Sign(request, "n1", now))(t), key, a.Certificate(), now))(t)
	if id.Node != "n1" {
		t.Errorf("it names %q", id.Node)
	}
	for _, bad := range [][]byte{nil, []byte("rubbish"), a.Certificate(), bytes.Replace(request, []byte("A"), []byte("B"), 1)} {
		if _, err := a.Sign(bad, "n1", now); err == nil {
			t.Errorf("%.40q was signed", bad)
		}
	}
	if _, err := Load(must(a.Sign(request, "n1", now))(t), key, must(New())(t).Certificate(), now); !errors.Is(err, ErrPeer) {
		t.Error("another authority's: ", err)
	}
	if id.Renewable(now) || !id.Renewable(now.Add(certLife*2/3)) {
		t.Error("when to renew")
	}
}

func TestTokens(t *testing.T) {
	now := time.Now()
	a := must(New())(t)
	token := NewToken(a.Hash())
	back := must(ParseToken(" " + token.String() + "\n"))(t)
	if back != token {
		t.Error("changed in its text")
	}
	r := token.Record(now.Add(time.Hour))
	if !r.Holds(back, now) || r.Holds(back, now.Add(2*time.Hour)) || r.Holds(NewToken(a.Hash()), now) {
		t.Error("whom the record holds for")
	}
	if bytes.Contains([]byte(token.String()), r.Hash[:]) {
		t.Error("the record gives the token away")
	}
	for _, bad := range []string{"", "sherd-join-1-", token.String()[1:], token.String()[:60], token.String() + "AAAA", "sherd-join-2-" + token.String()[13:]} {
		if _, err := ParseToken(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzSign: whatever a joining node sends as its request, it gets a certificate in the name that it was let in by, or none.
func FuzzSign(f *testing.F) {
	a := must(New())(f)
	request, _, err := Request("n1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, request []byte) {
		cert, err := a.Sign(request, "n2", time.Now())
		if err != nil {
			return
		}
		block, _ := pem.Decode(cert)
		c := must(x509.ParseCertificate(block.Bytes))(t)
		if c.Subject.CommonName != "n2" || len(c.URIs) != 1 || c.URIs[0].String() != nodeURI("n2").String() || c.IsCA || len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses) > 0 {
			t.Fatalf("%+v", c)
		}
	})
}

// FuzzParseToken: what is taken for a token is one, written in one way but for the space around it.
func FuzzParseToken(f *testing.F) {
	f.Add(NewToken(Hash{1}).String())
	f.Add(" " + tokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseToken(token.String()); err != nil || again != token {
			t.Fatalf("%q became %v, %v", text, again, err)
		}
	})
}
