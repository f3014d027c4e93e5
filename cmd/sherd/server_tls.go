package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// tlsConfig is nil where TLS was not asked for.
func (f *serverFlags) tlsConfig() (*tls.Config, error) {
	switch {
	case f.tlsSelfSigned && f.tlsCert != "":
		return nil, errors.New("give --tls-cert or --tls-self-signed, not both")
	case f.tlsSelfSigned:
		cert, err := selfSigned(f.names())
		if err != nil {
			return nil, err
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return nil, errors.New("give both --tls-cert and --tls-key")
	case f.tlsCert == "":
		return nil, nil
	}
	k := &keyPair{certFile: f.tlsCert, keyFile: f.tlsKey, every: time.Second}
	if _, err := k.get(nil); err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", f.tlsCert, f.tlsKey, err)
	}
	return &tls.Config{GetCertificate: k.get, MinVersion: tls.VersionTLS12}, nil
}

// names are what a client may call this server: domains, the buckets below them, and addresses that it listens on.
func (f *serverFlags) names() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, d := range f.cfg.Domains {
		names = append(names, d, "*."+d)
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	for _, addr := range f.listen {
		host, _, err := net.SplitHostPort(addr)
		switch ip := net.ParseIP(host); {
		case err != nil:
		case host == "" || ip != nil && ip.IsUnspecified():
			names = append(names, interfaceAddrs()...)
		default:
			names = append(names, host)
		}
	}
	return names
}

func interfaceAddrs() (all []string) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // loopback will do
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			all = append(all, n.IP.String())
		}
	}
	return all
}

// keyPair is a certificate in files, read again when they change, looked at most so often. A pair that
// cannot be read, such as one half way through being replaced, leaves the one before in use.
type keyPair struct {
	certFile, keyFile string
	every             time.Duration

	mu      sync.Mutex
	cert    *tls.Certificate
	read    [2]time.Time // the files' times when cert was read
	checked time.Time
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cert != nil && time.Since(k.checked) < k.every {
		return k.cert, nil
	}
	k.checked = time.Now()
	var at [2]time.Time
	for i, name := range []string{k.certFile, k.keyFile} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info.ModTime()
		}
	}
	if k.cert != nil && at == k.read {
		return k.cert, nil
	}
	cert, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	switch {
	case err == nil:
		k.cert, k.read = &cert, at
	case k.cert == nil:
		return nil, err
	}
	return k.cert, nil
}

// selfSigned makes a certificate for names and addresses, good for a year.
func selfSigned(names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "sherd trial"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
