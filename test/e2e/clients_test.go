package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfertypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocreds "github.com/minio/minio-go/v7/pkg/credentials"
)

// awsCLI runs the AWS CLI against s with nothing set but credentials.
type awsCLI struct {
	t   *testing.T
	s   *server
	env []string
}

func (s *server) aws(t *testing.T) *awsCLI {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Fatal("the aws CLI is not installed: `make tools` does that")
	}
	// Version 1 of the CLI signs links with Signature V2 in us-east-1 unless it is told not to; AWS refuses them too.
	conf := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(conf, []byte("[default]\ns3 =\n    signature_version = s3v4\n"), 0o600))
	return &awsCLI{t, s, []string{
		"AWS_ACCESS_KEY_ID=" + rootUser, "AWS_SECRET_ACCESS_KEY=" + rootPassword, "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ENDPOINT_URL=" + s.url(), "AWS_CONFIG_FILE=" + conf, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_MAX_ATTEMPTS=1", "AWS_EC2_METADATA_DISABLED=true",
	}}
}

func (a *awsCLI) run(stdin io.Reader, args ...string) string {
	a.t.Helper()
	cmd := exec.Command("aws", args...)
	cmd.Env = append(os.Environ(), a.env...)
	if os.Getenv("HTTP_PROXY") != "" || os.Getenv("http_proxy") != "" {
		cmd.Env = append(cmd.Env, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	}
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		a.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// TestAWSCLI is what a person does on the first day.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	a := s.aws(t)
	dir := t.TempDir()
	a.run(nil, "s3", "mb", "s3://cli")
	for name, size := range map[string]int{"empty": 0, "one": 1, "4k": 4096, "under": 1<<20 - 1, "mib": 1 << 20, "over": 1<<20 + 1, "100m": 100 << 20} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content(uint64(size), size), 0o600))
		a.run(nil, "s3", "cp", "--only-show-errors", path, "s3://cli/files/"+name)
		a.run(nil, "s3", "cp", "--only-show-errors", "s3://cli/files/"+name, path+".back")
		if want, got := fileSum(t, path), fileSum(t, path+".back"); want != got {
			t.Errorf("%s came back changed", name)
		}
	}
	piped := content(7, 9<<20)
	a.run(bytes.NewReader(piped), "s3", "cp", "--only-show-errors", "-", "s3://cli/piped")
	if out := a.run(nil, "s3", "cp", "--only-show-errors", "s3://cli/piped", "-"); out != string(piped) {
		t.Error("what was piped in is not what is piped out")
	}
	a.run(nil, "s3", "cp", "--only-show-errors", "s3://cli/files/100m", "s3://cli/copied")
	if out := a.run(nil, "s3", "ls", "s3://cli/"); !strings.Contains(out, "PRE files/") || !strings.Contains(out, "104857600 copied") {
		t.Errorf("ls:\n%s", out)
	}
	presigned(t, a)
	syncBothWays(t, a, dir)
	if out := a.run(nil, "s3", "ls", "--recursive", "--summarize", "s3://cli"); !strings.Contains(out, fmt.Sprint("Total Objects: ", treeFiles+9)) {
		t.Errorf("ls --recursive ends in\n%s", out[max(0, len(out)-300):])
	}
	a.run(nil, "s3", "rm", "--recursive", "--only-show-errors", "s3://cli")
	a.run(nil, "s3", "rb", "s3://cli")
}

func presigned(t *testing.T, a *awsCLI) {
	t.Helper()
	link := strings.TrimSpace(a.run(nil, "s3", "presign", "s3://cli/files/mib"))
	out, err := exec.Command("curl", "-sS", "--noproxy", "*", "-f", "-H", "Range: bytes=1000-1999", link).Output()
	must(t, err)
	if !bytes.Equal(out, content(1<<20, 1<<20)[1000:2000]) {
		t.Error("a presigned range has other bytes")
	}
	if err := exec.Command("curl", "-sS", "--noproxy", "*", "-f", link+"0").Run(); err == nil {
		t.Error("a changed link works")
	}
}

// treeFiles is how many files go both ways.
const treeFiles = 500

func syncBothWays(t *testing.T, a *awsCLI, dir string) {
	t.Helper()
	tree, back := filepath.Join(dir, "tree"), filepath.Join(dir, "back")
	for i := range treeFiles {
		path := filepath.Join(tree, fmt.Sprintf("%02d/%d/file %d.bin", i%20, i%3, i))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, content(uint64(i), i*7%9000), 0o600))
	}
	a.run(nil, "s3", "sync", "--only-show-errors", tree, "s3://cli/tree")
	if out := a.run(nil, "s3", "sync", tree, "s3://cli/tree"); out != "" {
		t.Errorf("a second sync has something to do:\n%.500s", out)
	}
	a.run(nil, "s3", "sync", "--only-show-errors", "s3://cli/tree", back)
	files := 0
	must(t, filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		rel, _ := filepath.Rel(tree, path)
		if fileSum(t, path) != fileSum(t, filepath.Join(back, rel)) {
			t.Errorf("%s differs", rel)
		}
		return nil
	}))
	if files != treeFiles {
		t.Fatalf("%d files", files)
	}
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// TestAWSSDK uses aws-sdk-go-v2 as it comes.
func TestAWSSDK(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(rootUser, rootPassword, "")))
	must(t, err)
	c := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.BaseEndpoint = aws.String(s.url()); o.UsePathStyle = true })
	b := aws.String("sdk")
	_, err = c.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: b})
	must(t, err)
	_, err = c.HeadBucket(ctx, &awss3.HeadBucketInput{Bucket: b})
	must(t, err)
	body := content(1, 300_000)
	_, err = c.PutObject(ctx, &awss3.PutObjectInput{Bucket: b, Key: aws.String("a/ключ +"), Body: bytes.NewReader(body),
		ContentType: aws.String("text/x-test"), Metadata: map[string]string{"colour": "green"}})
	must(t, err)
	got, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: b, Key: aws.String("a/ключ +")})
	must(t, err)
	read, err := io.ReadAll(got.Body)
	must(t, err)
	if !bytes.Equal(read, body) || aws.ToString(got.ContentType) != "text/x-test" || got.Metadata["colour"] != "green" {
		t.Errorf("read %d bytes, %v, %v", len(read), got.ContentType, got.Metadata)
	}
	large := content(2, 23<<20)
	transfer := transfermanager.New(c)
	_, err = transfer.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: b, Key: aws.String("large"), Body: bytes.NewReader(large)})
	must(t, err)
	w := transfertypes.NewWriteAtBuffer(nil)
	_, err = transfer.DownloadObject(ctx, &transfermanager.DownloadObjectInput{Bucket: b, Key: aws.String("large"), WriterAt: w})
	must(t, err)
	if !bytes.Equal(w.Bytes(), large) {
		t.Error("the large object differs")
	}
	for _, alg := range types.ChecksumAlgorithm("").Values() {
		if strings.HasPrefix(string(alg), "XXHASH") || alg == "MD5" || alg == "SHA512" {
			continue // newer than what we promise
		}
		_, err = c.PutObject(ctx, &awss3.PutObjectInput{Bucket: b, Key: aws.String("sum/" + string(alg)), Body: bytes.NewReader(body), ChecksumAlgorithm: alg})
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		got, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: b, Key: aws.String("sum/" + string(alg)), ChecksumMode: types.ChecksumModeEnabled})
		must(t, err)
		if _, err := io.Copy(io.Discard, got.Body); err != nil { // the SDK checks it
			t.Errorf("%s: %v", alg, err)
		}
	}
	_, err = c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: aws.String("sdk/large")})
	must(t, err)
	names := 0
	for p := awss3.NewListObjectsV2Paginator(c, &awss3.ListObjectsV2Input{Bucket: b, MaxKeys: aws.Int32(2)}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		must(t, err)
		var del []types.ObjectIdentifier
		for _, o := range page.Contents {
			names++
			del = append(del, types.ObjectIdentifier{Key: o.Key})
		}
		out, err := c.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: del}})
		must(t, err)
		if len(out.Errors) > 0 {
			t.Errorf("DeleteObjects: %v", out.Errors)
		}
	}
	if names != 8 {
		t.Errorf("%d objects listed", names)
	}
	_, err = c.DeleteBucket(ctx, &awss3.DeleteBucketInput{Bucket: b})
	must(t, err)
}

// TestMinioGo uses minio-go as it comes.
func TestMinioGo(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	ctx := context.Background()
	c, err := minio.New(strings.TrimPrefix(s.url(), "http://"), &minio.Options{Creds: miniocreds.NewStaticV4(rootUser, rootPassword, "")})
	must(t, err)
	must(t, c.MakeBucket(ctx, "minio", minio.MakeBucketOptions{}))
	for name, size := range map[string]int{"empty": 0, "small": 1000, "medium": 5 << 20, "large": 70 << 20} {
		body := content(uint64(size), size)
		_, err := c.PutObject(ctx, "minio", name, bytes.NewReader(body), int64(size), minio.PutObjectOptions{UserMetadata: map[string]string{"Kind": name}})
		must(t, err)
		o, err := c.GetObject(ctx, "minio", name, minio.GetObjectOptions{})
		must(t, err)
		got, err := io.ReadAll(o)
		must(t, err)
		info, err := o.Stat()
		must(t, err)
		if !bytes.Equal(got, body) || info.UserMetadata["Kind"] != name {
			t.Errorf("%s: %d bytes, metadata %v", name, len(got), info.UserMetadata)
		}
	}
	_, err = c.PutObject(ctx, "minio", "unknown length", io.MultiReader(bytes.NewReader(content(3, 20<<20))), -1, minio.PutObjectOptions{PartSize: 8 << 20})
	must(t, err)
	seen := 0
	for o := range c.ListObjects(ctx, "minio", minio.ListObjectsOptions{Recursive: true}) {
		must(t, o.Err)
		must(t, c.RemoveObject(ctx, "minio", o.Key, minio.RemoveObjectOptions{}))
		seen++
	}
	if seen != 5 {
		t.Errorf("%d objects listed", seen)
	}
	must(t, c.RemoveBucket(ctx, "minio"))
}
