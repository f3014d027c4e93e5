package bench

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ops are the workloads.
var ops = []string{"put", "get", "head", "list", "delete", "multipart", "mixed"}

// Ops lists the workloads by name.
func Ops() []string { return slices.Clone(ops) }

// Config is one run. A zero field means the default given here.
type Config struct {
	Endpoint    string // http://127.0.0.1:9000
	Insecure    bool   // do not check the certificate
	Credentials Credentials

	Op          string
	Bucket      string        // sherd-bench; created if absent
	Prefix      string        // of all keys: bench- and the time; plain characters only
	Size        int64         // bytes of an object: 4 KiB; list, delete: 1 KiB; mixed: 1 MiB; multipart: 4 parts. -1 is an empty object
	PartSize    int64         // 16 MiB; at least 5 MiB where the server holds to S3's rule
	Concurrency int           // 16
	Duration    time.Duration // 10s; delete ends when all are gone
	Objects     int           // to prepare: 2 GiB of them, at least 64, at most 10,000; list: 20,000; delete: 50,000
	Prefixes    int           // 16; list
	Batch       int           // 100; delete: keys in a request. 1 uses DeleteObject
	Unsigned    bool          // UNSIGNED-PAYLOAD
	NoVerify    bool          // do not compare what is read
	Verify      bool          // set by validate
	Keep        bool          // do not delete what was stored
	ServerPID   int           // process whose CPU time is counted, with its descendants; 0: none
	Seed        uint64        // of all content; the time
	Timeout     time.Duration // 60s; of one request
	Backoff     time.Duration // 50ms; after a failed connection
}

func (c *Config) validate() error {
	if !slices.Contains(ops, c.Op) {
		return fmt.Errorf("bench: no operation %q: there are %s", c.Op, strings.Join(ops, ", "))
	}
	if c.Credentials.AccessKey == "" || c.Credentials.SecretKey == "" {
		return errors.New("bench: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	orDefault(&c.Endpoint, "http://127.0.0.1:9000")
	orDefault(&c.Bucket, "sherd-bench")
	orDefault(&c.Prefix, "bench-"+strconv.FormatInt(time.Now().UnixNano(), 36)+"/")
	orDefault(&c.PartSize, 16<<20)
	orDefault(&c.Size, map[string]int64{"list": 1 << 10, "delete": 1 << 10, "mixed": 1 << 20, "multipart": 4 * c.PartSize}[c.Op])
	orDefault(&c.Size, 4<<10)
	c.Size = max(c.Size, 0)
	orDefault(&c.Concurrency, 16)
	orDefault(&c.Duration, 10*time.Second)
	orDefault(&c.Objects, map[string]int{"list": 20_000, "delete": 50_000}[c.Op])
	orDefault(&c.Objects, int(min(10_000, max(64, (2<<30)/max(c.Size, 1)))))
	orDefault(&c.Prefixes, 16)
	orDefault(&c.Batch, 100)
	orDefault(&c.Seed, uint64(time.Now().UnixNano()))
	orDefault(&c.Timeout, time.Minute)
	orDefault(&c.Backoff, 50*time.Millisecond)
	c.Verify = !c.NoVerify
	switch {
	case c.Concurrency < 0 || c.Objects < 0 || c.Prefixes < 0 || c.PartSize < 0 || c.Duration < 0:
		return errors.New("bench: a negative count, size or duration")
	case c.Batch < 1 || c.Batch > 1000:
		return errors.New("bench: a batch has 1 to 1000 keys")
	case strings.Trim(c.Prefix, plain) != "":
		return fmt.Errorf("bench: prefix %q: only letters, digits and -_.~/ go into keys here", c.Prefix)
	}
	c.Objects = max(c.Objects, c.Concurrency)
	return nil
}

// plain characters need no escape in a URL's path.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/"

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

func (c *Config) keysPerPrefix() int { return max(1, c.Objects/c.Prefixes) }

func (c *Config) listPrefix(p int) string { return c.Prefix + "p" + strconv.Itoa(p) + "/" }

func (c *Config) appendListKey(b []byte, p, i int) []byte {
	b = append(b, c.Prefix...)
	b = strconv.AppendInt(append(b, 'p'), int64(p), 10)
	return appendPadded(append(b, '/'), uint64(i), 9)
}
