package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sys/unix"

	"github.com/sherd-io/sherd/cmd/sherd/node"
	"github.com/sherd-io/sherd/internal/ids"
	"github.com/sherd-io/sherd/internal/poll"
	"github.com/sherd-io/sherd/placement/member/membertest"
	"github.com/sherd-io/sherd/placement/plan"
	"github.com/sherd-io/sherd/placement/store"
)

func TestMain(m *testing.M) { membertest.Main(m) }

const bucket = "things"

// cluster is a node that stores what a test wants on four drives, 2+2.
type cluster struct {
	t      *testing.T
	paths  []string
	client *s3.Client
	rnd    *rand.ChaCha8
	bodies map[string][]byte // by key, as they were acknowledged
}

// filled starts a node, lets fill store through its gateway, and stops it: what is left are bare drives.
func filled(t *testing.T, fill func(c *cluster)) *cluster {
	t.Helper()
	c := &cluster{t: t, rnd: rand.NewChaCha8([32]byte{1}), bodies: map[string][]byte{}}
	root := t.TempDir()
	for i := range 4 {
		c.paths = append(c.paths, filepath.Join(root, fmt.Sprint("d", i+1)))
	}
	etcd, env := membertest.Child()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 3*poll.Within)
	defer cancel()
	cred := node.Credentials{AccessKey: "rescuer", SecretKey: "rescuer's secret"}
	n, err := node.Start(ctx, node.Config{
		Drives: c.paths, Listeners: []net.Listener{l}, MemoryLimit: node.MemoryLimitMin, Profile: plan.Profile{K: 2, M: 2}, Root: cred,
		EtcdCommand: etcd, EtcdEnv: env, ScrubEvery: -1, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	c.client = s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + l.Addr().String()), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(cred.AccessKey, cred.SecretKey, ""),
	})
	_, err = c.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	must(t, err)
	fill(c)
	poll.True(t, poll.Within, "copies of the control state that name the bucket", func() bool {
		found, _ := store.ReadCopies(ctx, ids.Cluster{}, c.paths)
		return !slices.ContainsFunc(found, func(f store.FoundCopy) bool {
			return f.Err != nil || !slices.ContainsFunc(f.Copy.Rows, func(r store.CopyRow) bool { return r.Key == "buckets/"+bucket })
		})
	})
	must(t, n.Close(ctx))
	return c
}

func (c *cluster) random(size int) []byte {
	b := make([]byte, size)
	c.rnd.Read(b)
	return b
}

func (c *cluster) put(key string, size int) {
	c.t.Helper()
	body := c.random(size)
	_, err := c.client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body), ContentType: aws.String("text/x"),
	})
	must(c.t, err)
	c.bodies[key] = body
}

func (c *cluster) remove(key string) {
	c.t.Helper()
	_, err := c.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	must(c.t, err)
	delete(c.bodies, key)
}

func (c *cluster) multipart(key string, complete bool, sizes ...int) {
	c.t.Helper()
	ctx := context.Background()
	up, err := c.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	must(c.t, err)
	var whole []byte
	var parts []types.CompletedPart
	for i, size := range sizes {
		body, number := c.random(size), aws.Int32(int32(3*i+1))
		whole = append(whole, body...)
		part, err := c.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, PartNumber: number, Body: bytes.NewReader(body),
		})
		must(c.t, err)
		parts = append(parts, types.CompletedPart{ETag: part.ETag, PartNumber: number})
	}
	if !complete {
		return
	}
	_, err = c.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: up.Bucket, Key: up.Key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	must(c.t, err)
	c.bodies[key] = whole
}

// copied are the drives, copied to where a test may damage them.
func (c *cluster) copied(t *testing.T) (paths []string) {
	t.Helper()
	root := t.TempDir()
	for i, from := range c.paths {
		to := filepath.Join(root, fmt.Sprint("d", i+1))
		must(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			if d.IsDir() {
				return os.MkdirAll(filepath.Join(to, rel), 0o755)
			}
			return copyData(path, filepath.Join(to, rel))
		}))
		paths = append(paths, to)
	}
	return paths
}

// copyData copies a file but for its holes. Most of a segment has been allocated and not written yet: cp would read those zeros.
func copyData(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := out.Truncate(info.Size()); err != nil {
		return err
	}
	for end := int64(0); ; {
		begin, err := in.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // only a hole is left
			return nil
		}
		if err != nil {
			return err
		}
		if end, err = in.Seek(begin, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, begin), io.NewSectionReader(in, begin, end-begin)); err != nil {
			return err
		}
	}
}

// rescued is what Run wrote, by key.
func rescued(t *testing.T, opt Options) (found map[string]Found, bodies map[string][]byte, result Result) {
	t.Helper()
	if opt.Out == "" && !opt.List {
		opt.Out = filepath.Join(t.TempDir(), "out")
	}
	opt.Logger = slog.New(slog.DiscardHandler)
	found, bodies = map[string]Found{}, map[string][]byte{}
	result, err := Run(context.Background(), opt, func(f Found) {
		if _, twice := found[f.Key]; twice && !opt.Unlisted { // else also what was overwritten
			t.Errorf("%q was told twice", f.Key)
		}
		found[f.Key] = f
	})
	must(t, err)
	for key, f := range found {
		if f.File == "" {
			continue
		}
		body, err := os.ReadFile(filepath.Join(opt.Out, f.File))
		must(t, err)
		bodies[key] = body
	}
	return found, bodies, result
}

// files are those of a drive whose path below it matches pattern.
func files(t *testing.T, drive, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(drive, pattern))
	must(t, err)
	var out []string
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no file %s in %s: the case damages nothing", pattern, drive)
	}
	return out
}

// change rewrites files of a drive.
func change(t *testing.T, drive, pattern string, edit func([]byte) []byte) {
	t.Helper()
	for _, name := range files(t, drive, pattern) {
		b, err := os.ReadFile(name)
		must(t, err)
		must(t, os.WriteFile(name, edit(b), 0o600))
	}
}

// flip turns a bit over in every stretch of so many bytes, from the first byte on that is not zero.
func flip(every, from int) func([]byte) []byte {
	return func(b []byte) []byte {
		for at := from; at < len(b); at += every {
			b[at] ^= 1
		}
		return b
	}
}

func half(b []byte) []byte { return b[:len(b)/2] }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// odd are keys that cannot be, or should not be, paths.
var odd = []string{
	"a", "a/b", "a/b/", "../../escape", "/", "//x", "x//y", "dot/./dot", ".", "..", "new\nline", "%41", "A", "tab\tx", "back\\slash",
	"ä ö/ü", "日本語", strings.Repeat("k", 1024), "long/" + strings.Repeat("s", 256), "\x01", "*?<>|",
}
