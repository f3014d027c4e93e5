package s3

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"net/url"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/xxh3"
)

// quoted is the ETag of a body that was stored at once.
func quoted(body string) string { return `"` + hexMD5(body) + `"` }

func hexMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// md5Of is a Content-MD5.
func md5Of(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// algorithms are S3's checksums by the names that headers have. Source: UserGuide/checking-object-integrity.
var algorithms = map[string]func() hash.Hash{
	"crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"sha1":      sha1.New,
	"sha256":    sha256.New,
	"sha512":    sha512.New,
	"md5":       md5.New,
	"xxhash64":  func() hash.Hash { return xxhash.New() },
	"xxhash3":   func() hash.Hash { return xxh3.New() },
	"xxhash128": func() hash.Hash { return xxh128{xxh3.New()} },
}

var algorithmNames = []string{"crc32", "crc32c", "crc64nvme", "sha1", "sha256", "sha512", "md5", "xxhash64", "xxhash3", "xxhash128"}

// xxh128 is XXH3 of 128 bits, in xxHash's canonical form.
type xxh128 struct{ *xxh3.Hasher }

func (h xxh128) Sum(b []byte) []byte {
	sum := h.Sum128()
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, sum.Hi), sum.Lo)
}

func rawSum(algorithm, body string) []byte {
	h := algorithms[algorithm]()
	h.Write([]byte(body))
	return h.Sum(nil)
}

// sum is a checksum as headers show it.
func sum(algorithm, body string) string {
	return base64.StdEncoding.EncodeToString(rawSum(algorithm, body))
}

// composite is the checksum of the parts' checksums.
func composite(algorithm string, parts ...string) string {
	var all []byte
	for _, p := range parts {
		all = append(all, rawSum(algorithm, p)...)
	}
	return sum(algorithm, string(all)) + "-" + itoa(len(parts))
}

// etagOf is the ETag of an object that was stored in parts.
func etagOf(parts ...string) string {
	var all []byte
	for _, p := range parts {
		sum := md5.Sum([]byte(p))
		all = append(all, sum[:]...)
	}
	sum := md5.Sum(all)
	return `"` + hex.EncodeToString(sum[:]) + "-" + itoa(len(parts)) + `"`
}

func unescaped(s string) string {
	out, err := url.PathUnescape(s)
	if err != nil {
		panic(err) // a case's own mistake
	}
	return out
}

// spoil changes the last digit of a signature.
func spoil(r *http.Request) {
	h := r.Header.Get("Authorization")
	last := "0"
	if strings.HasSuffix(h, "0") {
		last = "1"
	}
	r.Header.Set("Authorization", h[:len(h)-1]+last)
}

// versioned has the case's bucket keep versions, or with "Suspended" not any more.
func versioned(status string) []*request {
	return given(PUT("?versioning", "<VersioningConfiguration"+ns+"><Status>"+status+"</Status></VersioningConfiguration>"))
}

// allow is a bucket policy with one statement; path is of the resource behind the bucket.
func allow(principal, action, path string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"` + principal + `","Action":"` + action + `","Resource":"arn:aws:s3:::{bucket}` + path + `"}]}`
}

// tagging is a document of tags: key, value, …
func tagging(tags ...string) string {
	doc := "<Tagging" + ns + "><TagSet>"
	for i := 0; i+1 < len(tags); i += 2 {
		doc += "<Tag><Key>" + tags[i] + "</Key><Value>" + tags[i+1] + "</Value></Tag>"
	}
	return doc + "</TagSet></Tagging>"
}
