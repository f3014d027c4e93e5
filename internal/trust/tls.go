package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// sessionsMax is with how many nodes sessions can be resumed.
const sessionsMax = 1024

// sessions is what a node's connections to one other node remember of those before: a resumed session spares both ends a signature. Who the
// peer is, and whether it may, is looked at each time all the same.
type sessions struct {
	of  string
	all tls.ClientSessionCache
}

// Get implements tls.ClientSessionCache. What crypto/tls would go by is the address, which another node may have by now.
func (s sessions) Get(string) (*tls.ClientSessionState, bool) { return s.all.Get(s.of) }

// Put implements tls.ClientSessionCache.
func (s sessions) Put(_ string, state *tls.ClientSessionState) { s.all.Put(s.of, state) }

// Client is the TLS configuration of a connection to the node of that name, under an application protocol.
func (id *Identity) Client(node, protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.cert}, NextProtos: []string{protocol},
		ClientSessionCache: sessions{node, id.sessions},
		InsecureSkipVerify: true, // VerifyConnection does it: certificates name nodes, not hosts
		VerifyConnection: func(s tls.ConnectionState) error {
			got, err := id.nodeOf(s.PeerCertificates[0], time.Now())
			if err == nil && got != node {
				err = fmt.Errorf("%w: it is node %q, not %q", ErrPeer, got, node)
			}
			return err
		},
	}
}

// Server is the TLS configuration of what nodes connect to. Sessions are resumed only under the same one. member reports whether the map has a node of that name; a peer that it has
// not is refused. Under the protocols named in open nobody needs a certificate.
func (id *Identity) Server(member func(node string) bool, protocols []string, open ...string) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{id.cert}, NextProtos: append(protocols, open...),
		ClientAuth: tls.RequestClientCert,
	}
	c.VerifyConnection = func(s tls.ConnectionState) error {
		for _, p := range open {
			if s.NegotiatedProtocol == p {
				return nil
			}
		}
		if len(s.PeerCertificates) == 0 || s.NegotiatedProtocol == "" {
			return fmt.Errorf("%w: it shows no certificate", ErrPeer)
		}
		node, err := id.nodeOf(s.PeerCertificates[0], time.Now())
		if err == nil && !member(node) {
			err = fmt.Errorf("%w: the map has no node %q", ErrPeer, node)
		}
		return err
	}
	return c
}

// Peer is the node at the other end of a connection that Server or Client accepted.
func (id *Identity) Peer(s tls.ConnectionState) (string, error) {
	if len(s.PeerCertificates) == 0 {
		return "", ErrPeer
	}
	return id.nodeOf(s.PeerCertificates[0], time.Now())
}

// Joining is the TLS configuration of a connection to a cluster by one who is no node yet, and knows its authority's hash.
func Joining(authority Hash, protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates[1:] {
				if sha256.Sum256(c.Raw) == authority {
					_, err := (&Identity{root: c}).nodeOf(s.PeerCertificates[0], time.Now())
					return err
				}
			}
			return fmt.Errorf("%w: its authority is not the token's", ErrPeer)
		},
	}
}

// chain appends the authority's certificate to what a node shows, for those who join.
func chain(cert tls.Certificate, root *x509.Certificate) tls.Certificate {
	cert.Certificate = append(cert.Certificate[:1:1], root.Raw)
	return cert
}
