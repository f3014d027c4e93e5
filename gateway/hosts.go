package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// clientHost is the host as the client named it: a trusted proxy's X-Forwarded-Host counts.
func (s *Server) clientHost(r *http.Request) string {
	if len(s.opt.TrustedProxies) > 0 && s.trusts(r.RemoteAddr) {
		if v := r.Header["X-Forwarded-Host"]; len(v) > 0 {
			first, _, _ := strings.Cut(v[0], ",")
			return strings.TrimSpace(first)
		}
	}
	return r.Host
}

// secure reports whether the client's own connection is encrypted.
func (r *request) secure() bool {
	return r.http.TLS != nil || r.s.trusts(r.http.RemoteAddr) && r.in1("X-Forwarded-Proto") == "https"
}

// clientAddr is the address of the client: the last of X-Forwarded-For that is not itself a trusted proxy.
func (s *Server) clientAddr(r *http.Request) string {
	if !s.trusts(r.RemoteAddr) {
		return r.RemoteAddr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if hop := strings.TrimSpace(hops[i]); hop != "" && !s.trusts(hop) {
			return hop
		}
	}
	return r.RemoteAddr
}

// trusts reports whether addr, with or without a port, is a trusted proxy.
func (s *Server) trusts(addr string) bool {
	if len(s.opt.TrustedProxies) == 0 {
		return false
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	if err != nil {
		return false
	}
	for _, p := range s.opt.TrustedProxies {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

// bucketOfHost finds the bucket in a virtual-host style name.
func (s *Server) bucketOfHost(host string) (string, bool) {
	if len(s.opt.Domains) == 0 {
		return "", false
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, d := range s.opt.Domains {
		if bucket, ok := strings.CutSuffix(host, "."+d); ok && bucket != "" {
			return bucket, true
		}
	}
	return "", false
}

// isBucketHost reports whether the request names its bucket by host, so that /_/… is a key.
func (s *Server) isBucketHost(r *http.Request) bool {
	if len(s.opt.Domains) == 0 {
		return false
	}
	_, ok := s.bucketOfHost(s.clientHost(r))
	return ok
}
