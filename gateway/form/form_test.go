package form

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	boundary    = "9431149156168"
	contentType = "multipart/form-data; boundary=" + boundary
)

// field is a part without a file.
func field(name, value string) string {
	return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

// filePart is the file's, as browsers send it, with the end of the form.
func filePart(name, content string) string {
	return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name + "\"\r\nContent-Type: text/plain\r\n\r\n" + content + "\r\n--" + boundary + "--\r\n"
}

func read(body string) (*Form, error) { return Read(contentType, strings.NewReader(body)) }

// upload reads a whole form.
func upload(body io.Reader) (*Form, string, error) {
	f, err := Read(contentType, body)
	if err != nil {
		return nil, "", err
	}
	content, err := io.ReadAll(f.File(AnyLength()))
	return f, string(content), err
}

// TestRead: RESTObjectPOST, "Syntax", and sigv4-HTTPPOSTForms, "HTML Form Fields".
func TestRead(t *testing.T) {
	form := field("Key", "user/eric/${filename}") + field("ACL", "public-read") + field("success_action_redirect", "https://a/?f=${filename}&g=${filename}") +
		field("Content-Type", "image/jpeg") + field("x-amz-meta-uuid", "") + field("X-Amz-Meta-Tag", "Some,Tag,For,Picture\r\n--"+boundary[1:])
	for name, c := range map[string]struct{ body, fileName, content string }{
		"a browser's":             {form + filePart("MyFilename.jpg", "file content\r\n\x00\r\n--943"), "MyFilename.jpg", "file content\r\n\x00\r\n--943"},
		"a path of Windows":       {form + filePart(`C:\Program Files\directory1\file.txt`, "x"), "file.txt", "x"},
		"a path":                  {form + filePart("a/b/ü ä.txt", "x"), "ü ä.txt", "x"},
		"a path that ends":        {form + filePart("a/b/", "x"), "", "x"},
		"content without a file":  {form + field("FILE", "text") + "--" + boundary + "--", "", "text"},
		"empty":                   {form + filePart("", ""), "", ""},
		"what follows is ignored": {form + field("file", "x") + field("submit", "Upload to Amazon S3") + field("key", "other") + "--" + boundary + "--\r\nepilogue", "", "x"},
		"a preamble":              {"preamble\r\n" + form + filePart("f", "x"), "f", "x"},
	} {
		for _, slow := range []bool{false, true} {
			var body io.Reader = strings.NewReader(c.body)
			if slow {
				body = iotest.OneByteReader(body)
			}
			f, content, err := upload(body)
			if err != nil || content != c.content || f.FileName != c.fileName {
				t.Errorf("%s: %+v, %q, %v", name, f, content, err)
				continue
			}
			want := map[string]string{"key": "user/eric/" + c.fileName, "acl": "public-read", "success_action_redirect": "https://a/?f=" + c.fileName + "&g=" + c.fileName,
				"content-type": "image/jpeg", "x-amz-meta-uuid": "", "x-amz-meta-tag": "Some,Tag,For,Picture\r\n--" + boundary[1:]}
			if !reflect.DeepEqual(f.Fields, want) {
				t.Errorf("%s: %q", name, f.Fields)
			}
		}
	}
}

// TestReadRefuses: ErrorResponses, and RESTObjectPOST.
func TestReadRefuses(t *testing.T) {
	key, file := field("key", "k"), filePart("f", "x")
	for name, c := range map[string]struct {
		contentType, body string
		want              Code
		fact              Fact
	}{
		"no content type":        {"", key + file, PreconditionFailed, Fact{"Condition", "Bucket POST must be of the enclosure-type multipart/form-data"}},
		"another one":            {"application/x-www-form-urlencoded", "key=k", PreconditionFailed, Fact{}},
		"no boundary":            {"multipart/form-data", key + file, PreconditionFailed, Fact{}},
		"no key":                 {contentType, field("acl", "private") + file, InvalidArgument, Fact{"ArgumentName", "key"}},
		"the key behind":         {contentType, field("file", "x") + key + "--" + boundary + "--", InvalidArgument, Fact{"ArgumentName", "key"}},
		"an empty key":           {contentType, field("key", "") + file, InvalidArgument, Fact{"ArgumentName", "key"}},
		"no file":                {contentType, key + "--" + boundary + "--\r\n", InvalidArgument, Fact{"ArgumentName", "file"}},
		"a field twice":          {contentType, key + field("KEY", "other") + file, InvalidArgument, Fact{"ArgumentName", "key"}},
		"an empty body":          {contentType, "", MalformedPOSTRequest, Fact{}},
		"no part":                {contentType, "key=k", MalformedPOSTRequest, Fact{}},
		"another boundary":       {contentType + "1", key + file, MalformedPOSTRequest, Fact{}},
		"a part without name":    {contentType, strings.Replace(key, `; name="key"`, "", 1) + file, MalformedPOSTRequest, Fact{}},
		"an attachment":          {contentType, strings.Replace(key, "form-data", "attachment", 1) + file, MalformedPOSTRequest, Fact{}},
		"a part without header":  {contentType, "--" + boundary + "\r\n\r\nx\r\n" + file, MalformedPOSTRequest, Fact{}},
		"ends within a field":    {contentType, key + field("acl", "private")[:60], MalformedPOSTRequest, Fact{}},
		"very many fields":       {contentType, key + manyFields(fieldsMax) + file, MalformedPOSTRequest, Fact{}},
		"a large field":          {contentType, key + field("a", strings.Repeat("x", fieldsBytesMax)) + file, MaxPostPreDataLength, Fact{"MaxPostPreDataLengthBytes", "20480"}},
		"large fields":           {contentType, key + field("a", strings.Repeat("x", fieldsBytesMax/2)) + field("b", strings.Repeat("x", fieldsBytesMax/2)) + file, MaxPostPreDataLength, Fact{}},
		"a very large field":     {contentType, key + field("a", strings.Repeat("x", 10*fieldsBytesMax)) + file, MaxPostPreDataLength, Fact{}},
		"a large head":           {contentType, strings.Replace(key, "\r\n\r\n", "\r\nX: "+strings.Repeat("x", fieldsBytesMax)+"\r\n\r\n", 1) + file, MaxPostPreDataLength, Fact{}},
		"a large head of a file": {contentType, key + filePart(strings.Repeat("f", fieldsBytesMax), "x"), MaxPostPreDataLength, Fact{}},
		"a long preamble":        {contentType, strings.Repeat("x\r\n", fieldsBytesMax) + key + file, MaxPostPreDataLength, Fact{}},
		"a field that grows":     {contentType, field("key", strings.Repeat("${filename}", 1000)) + filePart(strings.Repeat("f", 5000), "x"), MaxPostPreDataLength, Fact{}},
	} {
		_, err := Read(c.contentType, strings.NewReader(c.body))
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			continue
		}
		if c.fact != (Fact{}) && (len(e.Facts) == 0 || e.Facts[0] != c.fact) {
			t.Errorf("%s: %v, want %v", name, e.Facts, c.fact)
		}
	}
	if f, err := read(key + manyFields(fieldsMax-1) + file); err != nil || len(f.Fields) != fieldsMax {
		t.Errorf("%d fields: %v", fieldsMax, err)
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(field(fmt.Sprintf("x-amz-meta-%d", i), "v"))
	}
	return b.String()
}

// TestFieldsBytesMax: sigv4-HTTPPOSTForms, "The form data and boundaries (excluding the contents of the file) cannot exceed 20KB",
// to the byte, in whatever pieces it comes.
func TestFieldsBytesMax(t *testing.T) {
	file := filePart("f", "x")
	head := strings.Index(file, "\r\n\r\n") + len("\r\n\r\n")
	room := fieldsBytesMax - len(field("key", "k")) - len(field("a", "")) - head - 2 // the line end ahead of the first boundary is not sent
	for n, want := range map[int]error{room: nil, room + 1: MaxPostPreDataLength} {
		body := field("key", "k") + field("a", strings.Repeat("x", n)) + file
		for _, r := range []io.Reader{strings.NewReader(body), iotest.HalfReader(strings.NewReader(body))} {
			if _, _, err := upload(r); !errors.Is(err, want) {
				t.Errorf("%d bytes: %v", n-room+fieldsBytesMax, err)
			}
		}
	}
}

// TestTail: what follows the file is read and ignored, but not without end.
func TestTail(t *testing.T) {
	form := field("key", "k") + filePart("f", "x")
	if _, content, err := upload(strings.NewReader(form + strings.Repeat("x", tailBytesMax/2))); err != nil || content != "x" {
		t.Errorf("%q, %v", content, err)
	}
	if _, _, err := upload(strings.NewReader(form + strings.Repeat("x", tailBytesMax+2*readAhead))); !errors.Is(err, MalformedPOSTRequest) {
		t.Error(err)
	}
}

// TestStreams: the fields are there before the file is, and of the file no more is held than a buffer.
func TestStreams(t *testing.T) {
	pr, pw := io.Pipe()
	const chunks = 64
	whole := filePart("f", "CONTENT")
	head, tail, _ := strings.Cut(whole, "CONTENT")
	read := make(chan struct{})
	go func() {
		_, _ = io.WriteString(pw, field("key", "k")+head)
		<-read
		for range chunks {
			_, _ = pw.Write(make([]byte, 64<<10))
		}
		_, _ = io.WriteString(pw, tail)
		_ = pw.Close()
	}()
	f, err := Read(contentType, pr)
	if err != nil {
		t.Fatal(err)
	}
	close(read) // before this nothing of the file was sent
	if n, err := io.Copy(io.Discard, f.File(AnyLength())); err != nil || n != chunks*64<<10 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestFileBytes: the file's length is known ahead of it to the byte, in whatever pieces and with whatever line ends the form comes.
func TestFileBytes(t *testing.T) {
	for _, preamble := range []string{"", "\r\n", "preamble\n\r\n"} {
		for _, more := range []string{"", field("x-amz-meta-a", strings.Repeat("x", 6000)), field("a", "\n\r\n\n") + field("b", strings.Repeat("\r\n", 3000))} {
			for _, content := range []string{"", "x", "\n\n\r\n", strings.Repeat("0123456789\n", 10_000)} {
				body := preamble + field("key", "k") + more + filePart("f", content)
				for _, r := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body))} {
					f, err := Read(contentType, r)
					if err != nil {
						t.Fatal(err)
					}
					if n := f.FileBytes(int64(len(body))); n != int64(len(content)) {
						t.Errorf("%d bytes, want %d", n, len(content))
					}
				}
			}
		}
	}
	f, err := read(field("key", "k") + strings.TrimSuffix(filePart("f", ""), "\r\n"))
	if err != nil || f.FileBytes(int64(len(field("key", "k"))+len(filePart("f", ""))-2)) >= 0 {
		t.Errorf("a form that is too short: %v", err)
	}
}

// TestOneFile: RESTObjectPOST, "POST requires exactly one file upload per request".
func TestOneFile(t *testing.T) {
	for _, second := range []string{filePart("g", "y"), field("File", "y") + "--" + boundary + "--", filePart("g", strings.Repeat("y", 2*tailBytesMax))} {
		_, _, err := upload(strings.NewReader(field("key", "k") + field("file", "x") + field("submit", "s") + second))
		var e *Error
		if !errors.As(err, &e) || e.Code != InvalidArgument || e.Facts[1] != (Fact{"ArgumentValue", "2"}) {
			t.Errorf("two files: %v", err)
		}
	}
}

// TestRange: RESTObjectPOST and sigv4-HTTPPOSTConstructPolicy, content-length-range.
func TestRange(t *testing.T) {
	for _, c := range []struct {
		n    int
		r    Range
		want error
		fact Fact
	}{
		{5, Range{5, 5}, nil, Fact{}},
		{0, Range{0, 0}, nil, Fact{}},
		{4, Range{5, 10}, EntityTooSmall, Fact{"MinSizeAllowed", "5"}},
		{11, Range{5, 10}, EntityTooLarge, Fact{"MaxSizeAllowed", "10"}},
		{100 << 10, Range{0, 10}, EntityTooLarge, Fact{"MaxSizeAllowed", "10"}},
		{100 << 10, Range{0, 100 << 10}, nil, Fact{}},
		{0, Range{1, math.MaxInt64}, EntityTooSmall, Fact{}},
	} {
		f, err := read(field("key", "k") + filePart("f", strings.Repeat("x", c.n)))
		if err != nil {
			t.Fatal(err)
		}
		file := f.File(c.r)
		content, err := io.ReadAll(file)
		var e *Error
		switch {
		case !errors.Is(err, c.want):
			t.Errorf("%d of %v: %v", c.n, c.r, err)
		case err == nil && len(content) != c.n, err != nil && int64(len(content)) > c.r.Max:
			t.Errorf("%d of %v: %d bytes", c.n, c.r, len(content))
		case errors.As(err, &e) && c.fact != (Fact{}) && e.Facts[1] != c.fact:
			t.Errorf("%d of %v: %v", c.n, c.r, e.Facts)
		}
		if _, again := file.Read(make([]byte, 1)); err != nil && again != err {
			t.Errorf("then %v", again)
		}
	}
}

// TestBodyErrors: what the body's reader says comes out as it is, wherever it says it, and a body that ends early is refused.
func TestBodyErrors(t *testing.T) {
	boom := errors.New("signature does not match")
	form := field("key", "k") + filePart("f", "content")
	fileEnds := strings.LastIndex(form, boundary) + len(boundary)
	for n := range len(form) + 1 {
		if _, _, err := upload(io.MultiReader(strings.NewReader(form[:n]), iotest.ErrReader(boom))); err != boom {
			t.Errorf("after %d bytes: %v", n, err)
		}
		_, content, err := upload(strings.NewReader(form[:n]))
		whole := n == fileEnds || n >= fileEnds+len("--") // one dash is no end
		if refused := errors.Is(err, MalformedPOSTRequest) || errors.Is(err, InvalidArgument); !whole && !refused || whole && (err != nil || content != "content") {
			t.Errorf("cut after %d of %d bytes: %q, %v", n, len(form), content, err)
		}
	}
}

// TestWriter reads what Go's own writer of forms sends.
func TestWriter(t *testing.T) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("key", `a "b" \ c`)
	part, err := w.CreateFormFile("file", `q"uote.txt`)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write([]byte("content"))
	_ = w.Close()
	f, err := Read(w.FormDataContentType(), &b)
	if err != nil || f.Fields["key"] != `a "b" \ c` || f.FileName != `q"uote.txt` {
		t.Fatalf("%+v, %v", f, err)
	}
}

// TestRedirect: RESTObjectPOST, success_action_redirect: "Amazon S3 appends the bucket, key, and etag values as query string
// parameters", "If Amazon S3 cannot interpret the URL, it acts as if the field is not present".
func TestRedirect(t *testing.T) {
	const query = "bucket=b&key=a+b%2F%26%C3%BC&etag=%2239d459df%22"
	for target, want := range map[string]string{
		"http://example.com/done":     "http://example.com/done?" + query,
		"https://example.com/?a=b#at": "https://example.com/?a=b&" + query + "#at",
		"":                            "",
		"/done":                       "",
		"javascript:alert(1)":         "",
		"http://":                     "",
		"http://a/\r\nSet-Cookie: b":  "",
		"http://[::1":                 "",
	} {
		for _, name := range []string{"success_action_redirect", "redirect"} {
			f := &Form{Fields: map[string]string{name: target}}
			if got, ok := f.Redirect("b", "a b/&ü", `"39d459df"`); got != want || ok != (want != "") {
				t.Errorf("%s: %q, %v", target, got, ok)
			}
		}
	}
}

// TestStatus: RESTObjectPOST, success_action_status: "If the value is not set to 200, 201, or 204 … 204".
func TestStatus(t *testing.T) {
	for value, want := range map[string]int{"": 204, "200": 200, "201": 201, "204": 204, "302": 204, "x": 204} {
		if got := (&Form{Fields: map[string]string{"success_action_status": value}}).Status(); got != want {
			t.Errorf("%q: %d", value, got)
		}
	}
}

// TestHeader: RESTObjectPOST, "Form Fields".
func TestHeader(t *testing.T) {
	f := &Form{Fields: map[string]string{"acl": "private", "cache-control": "no-cache", "content-type": "a/b", "content-disposition": "inline", "content-encoding": "gzip",
		"expires": "0", "content-md5": "m", "x-amz-meta-uuid": "u", "x-amz-storage-class": "STANDARD", "x-amz-checksum-crc32": "AAAAAA==", "x-amz-object-lock-mode": "COMPLIANCE",
		"key": "k", "policy": "p", "tagging": "<Tagging/>", "x-amz-date": "d", "x-amz-signature": "s", "x-amz-security-token": "t", "x-amz-algorithm": "a", "x-amz-credential": "c",
		"x-ignore-a": "b", "success_action_status": "201", "host": "h", "authorization": "z", "content-length": "5"}}
	want := http.Header{"X-Amz-Acl": {"private"}, "Cache-Control": {"no-cache"}, "Content-Type": {"a/b"}, "Content-Disposition": {"inline"}, "Content-Encoding": {"gzip"},
		"Expires": {"0"}, "Content-Md5": {"m"}, "X-Amz-Meta-Uuid": {"u"}, "X-Amz-Storage-Class": {"STANDARD"}, "X-Amz-Checksum-Crc32": {"AAAAAA=="}, "X-Amz-Object-Lock-Mode": {"COMPLIANCE"}}
	if got := f.Header(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

// FuzzRead: a form is read or refused; the file ends with the body or fails.
func FuzzRead(f *testing.F) {
	f.Add(contentType, []byte(field("key", "${filename}")+field("acl", "private")+filePart(`C:\a`, "x")))
	f.Add(contentType, []byte(field("key", "k")+field("file", "x")+field("submit", "y")))
	f.Add("multipart/form-data; boundary=\"a b\"", []byte("--a b\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''%e2%82%ac\r\n\r\nx\r\n--a b--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		form, err := Read(contentType, bytes.NewReader(body))
		var e *Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			return
		}
		if strings.ContainsAny(form.FileName, `/\`) || form.Fields["key"] == "" || len(form.Fields) > fieldsMax {
			t.Fatalf("%+v", form)
		}
		n, err := io.Copy(io.Discard, form.File(Range{0, 100}))
		if err != nil && !errors.As(err, &e) || n > 100 {
			t.Fatal(n, err)
		}
		_, _ = form.Redirect("b", form.Fields["key"], "e")
		form.Header()
	})
}

// BenchmarkFile reads the file of a form of 8 MiB.
func BenchmarkFile(b *testing.B) {
	body := []byte(field("key", "k") + filePart("f", strings.Repeat("0123456789abcdef", 512<<10)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	buf := make([]byte, 256<<10)
	for b.Loop() {
		f, err := Read(contentType, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, f.File(AnyLength()), buf); err != nil {
			b.Fatal(err)
		}
	}
}
