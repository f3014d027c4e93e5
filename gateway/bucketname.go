package gateway

import (
	"net/netip"
	"strings"
)

// validBucketName holds for names that S3 allows for general purpose buckets.
// Source: Amazon S3 User Guide, "General purpose bucket naming rules".
func validBucketName(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		edge := i == 0 || i == len(name)-1
		if !letter && (edge || c != '-' && c != '.') {
			return false
		}
	}
	for _, prefix := range [...]string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	for _, suffix := range [...]string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// validNewBucketName holds for names that a bucket may be given. A hyphen beside a period is refused, as S3's older rules did: in
// virtual-hosted style the name is part of a host's, whose labels begin and end with a letter or digit. A bucket that has such a name keeps it.
func validNewBucketName(name string) bool {
	return validBucketName(name) && !strings.Contains(name, ".-") && !strings.Contains(name, "-.")
}

// validRegion holds for what may be a LocationConstraint.
func validRegion(s string) bool {
	if len(s) > 32 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && (s != "EU") {
			return false
		}
	}
	return true
}
