package trust

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/sherd-io/sherd/internal/ids"
)

var (
	ErrSecret = errors.New("trust: the cluster secret is too short") // of less than SecretBytes
	ErrPeer   = errors.New("trust: not a node of this cluster")
	ErrToken  = errors.New("trust: no such token, or it was used or has expired")
)

// SecretBytes is how long a cluster secret is at least.
const SecretBytes = 16

// certLife is how long a node's certificate holds. Nodes renew theirs when half of it is over.
const certLife = 2 * 365 * 24 * time.Hour

// Authority signs the certificates of a cluster's nodes.
type Authority struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
}

// stretches is how much work one guess at a secret is: who connects to a node port sees the authority's certificate, and can try secrets
// against it at home. Source: OWASP's password storage cheat sheet, for PBKDF2 with SHA-512.
const stretches = 210_000

// FromSecret derives the authority and the cluster's id from the secret that its first nodes share: each gets the same. It takes some
// tenths of a second. Error: ErrSecret.
func FromSecret(secret string) (*Authority, ids.Cluster, error) {
	if len(secret) < SecretBytes {
		return nil, ids.Cluster{}, fmt.Errorf("%w: it needs at least %d bytes", ErrSecret, SecretBytes)
	}
	key, err := pbkdf2.Key(sha512.New, secret, []byte("sherd cluster secret v1"), stretches, sha512.Size)
	if err != nil {
		return nil, ids.Cluster{}, err
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "sherd certificate authority v1", ed25519.SeedSize)
	if err != nil {
		return nil, ids.Cluster{}, err
	}
	id, err := hkdf.Key(sha256.New, key, nil, "sherd cluster id v1", len(ids.Cluster{}))
	if err != nil {
		return nil, ids.Cluster{}, err
	}
	a, err := fromSeed(seed)
	return a, ids.Cluster(id), err
}

// New makes an authority of its own.
func New() (*Authority, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	return fromSeed(seed)
}

// Seed is what Parse makes the authority from: 32 secret bytes.
func (a *Authority) Seed() []byte { return a.key.Seed() }

// WrapKey is a key of 32 bytes that follows from the seed: for what only those may open who have the authority.
func (a *Authority) WrapKey() []byte {
	key, err := hkdf.Key(sha256.New, a.Seed(), nil, "sherd data key wrap v1", sha256.Size)
	if err != nil {
		panic("trust: " + err.Error()) // only for a length that SHA-256 cannot give
	}
	return key
}

// Parse is Seed's inverse.
func Parse(seed []byte) (*Authority, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("trust: an authority's seed of %d bytes", len(seed))
	}
	return fromSeed(seed)
}

// The life of every authority: nodes that derive it must come to the same certificate.
var (
	born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	dies = time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC)
)

func fromSeed(seed []byte) (*Authority, error) {
	key := ed25519.NewKeyFromSeed(seed)
	name := sha256.Sum256(key.Public().(ed25519.PublicKey)) // else versions of crypto/x509 differ in how they name a key
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sherd cluster"}, NotBefore: born, NotAfter: dies,
		SubjectKeyId: name[:20], IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key) // Ed25519 needs no randomness
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{key, cert}, err
}

// Certificate is the authority's own, in PEM.
func (a *Authority) Certificate() []byte { return encodePEM("CERTIFICATE", a.cert.Raw) }

// Hash names the authority: what a token holds of it.
func (a *Authority) Hash() Hash { return sha256.Sum256(a.cert.Raw) }

// Hash is the SHA-256 of an authority's certificate.
type Hash [sha256.Size]byte

// Request is a certificate request for a node, in PEM, with the key that stays where it was made, in PEM too.
func Request(node string) (request, key []byte, err error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{Subject: pkix.Name{CommonName: node}}, private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return encodePEM("CERTIFICATE REQUEST", der), encodePEM("PRIVATE KEY", pkcs8), nil
}

// Sign answers a Request with a certificate for the node of that name, in PEM: whatever name the request says.
func (a *Authority) Sign(request []byte, node string, now time.Time) ([]byte, error) {
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("trust: no certificate request")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("trust: certificate request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("trust: certificate request: %w", err)
	}
	return a.sign(csr.PublicKey, node, now)
}

func (a *Authority) sign(key crypto.PublicKey, node string, now time.Time) ([]byte, error) {
	serial := make([]byte, 16)
	rand.Read(serial) // never fails
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: node},
		URIs:         []*url.URL{nodeURI(node)},
		NotBefore:    now.Add(-certLife / 24), // the nodes' clocks may differ
		NotAfter:     now.Add(certLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return encodePEM("CERTIFICATE", der), nil
}

// nodeURI is what a certificate says of whom it is for.
func nodeURI(node string) *url.URL { return &url.URL{Scheme: "sherd", Host: "node", Path: "/" + node} }

func encodePEM(kind string, b []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
}

// Identity is what a node proves itself with.
type Identity struct {
	Node     string
	cert     tls.Certificate
	root     *x509.Certificate
	sessions tls.ClientSessionCache
}

// Load makes an Identity of a node's certificate and key and of the authority's certificate, all in PEM.
// Errors: ErrPeer if the authority did not sign the certificate, or it has expired.
func Load(cert, key, authority []byte, now time.Time) (*Identity, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	block, _ := pem.Decode(authority)
	if block == nil {
		return nil, errors.New("trust: no certificate of the authority")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	id := &Identity{cert: chain(pair, root), root: root, sessions: tls.NewLRUClientSessionCache(sessionsMax)}
	id.Node, err = id.nodeOf(pair.Leaf, now)
	return id, err
}

// nodeOf verifies a peer's certificate, and gives the node that it names. Error: ErrPeer.
func (id *Identity) nodeOf(cert *x509.Certificate, now time.Time) (string, error) {
	roots := x509.NewCertPool()
	roots.AddCert(id.root)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrPeer, err)
	}
	for _, u := range cert.URIs {
		if u.Scheme == "sherd" && u.Host == "node" && len(u.Path) > 1 {
			return u.Path[1:], nil
		}
	}
	return "", fmt.Errorf("%w: the certificate names no node", ErrPeer)
}

// Renewable reports whether half of the certificate's life is over.
func (id *Identity) Renewable(now time.Time) bool {
	return now.After(id.cert.Leaf.NotAfter.Add(-certLife / 2))
}
