package bench

import (
	"bytes"
	"crypto/md5"
	"net/url"
	"strconv"
)

func md5Sum(b []byte) []byte {
	sum := md5.Sum(b)
	return sum[:]
}

// listing follows one prefix through its pages, and checks that every key comes once, in order.
type listing struct {
	page  []byte
	seen  int
	token string
}

const pageKeys = 1000

// listPrefix lists prefix p to its end: one request a page.
func (w *worker) listPrefix(p int, l *listing) error {
	l.seen, l.token = 0, ""
	for {
		query := "list-type=2&max-keys=" + strconv.Itoa(pageKeys) + "&prefix=" + escapeQuery(w.cfg.listPrefix(p))
		if l.token != "" {
			query = "continuation-token=" + escapeQuery(l.token) + "&" + query
		}
		q := request{method: "GET", path: "/" + w.cfg.Bucket, query: query}
		l.page = l.page[:0]
		keys, more := 0, false
		_, err := w.request(List, &q, func(b []byte) error { l.page = append(l.page, b...); return nil }, func(response) error {
			var err error
			keys, more, err = w.checkPage(p, l)
			return err
		})
		if err != nil {
			return err
		}
		w.stats[List].keys += int64(keys)
		if !more {
			return nil
		}
	}
}

func (w *worker) checkPage(p int, l *listing) (keys int, more bool, err error) {
	rest := l.page
	for {
		_, after, ok := bytes.Cut(rest, []byte("<Key>"))
		if !ok {
			break
		}
		end := bytes.IndexByte(after, '<')
		w.scratch = w.cfg.appendListKey(w.scratch[:0], p, l.seen)
		if end < 0 || (w.cfg.Verify && !bytes.Equal(after[:end], w.scratch)) {
			return keys, false, wrong(CodeWrongList)
		}
		keys, l.seen, rest = keys+1, l.seen+1, after[end:]
	}
	l.token = ""
	if bytes.Contains(l.page, []byte("<IsTruncated>true</IsTruncated>")) {
		_, after, _ := bytes.Cut(l.page, []byte("<NextContinuationToken>"))
		token, _, ok := bytes.Cut(after, []byte("</NextContinuationToken>"))
		if !ok || keys == 0 {
			return keys, false, wrong(CodeWrongList)
		}
		l.token = string(token)
		return keys, true, nil
	}
	if w.cfg.Verify && l.seen != w.cfg.keysPerPrefix() {
		return keys, false, wrong(CodeWrongList)
	}
	return keys, false, nil
}

// escapeQuery encodes a query value in canonical form: %20 for a space, capital digits.
func escapeQuery(s string) string {
	return string(bytes.ReplaceAll([]byte(url.QueryEscape(s)), []byte("+"), []byte("%20")))
}

// multipart uploads one object in parts, one after the other.
func (w *worker) multipart(o object) error {
	path := w.pathOf(o.key)
	var answer []byte
	take := func(p []byte) error { answer = append(answer, p...); return nil }
	if _, err := w.request(Create, &request{method: "POST", path: path, query: "uploads="}, take, nil); err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(answer, []byte("<UploadId>"))
	id, _, ok := bytes.Cut(rest, []byte("</UploadId>"))
	if !ok {
		return wrong(CodeWrongList)
	}
	upload := "uploadId=" + escapeQuery(string(id))
	xml := []byte("<CompleteMultipartUpload>")
	for n, off := 1, int64(0); off < o.size; n++ {
		size := min(w.cfg.PartSize, o.size-off)
		w.body = w.ring.Body(o.seed+uint64(n), size)
		number := strconv.Itoa(n)
		q := request{method: "PUT", path: path, query: "partNumber=" + number + "&" + upload, body: &w.body, unsigned: w.cfg.Unsigned}
		res, err := w.request(Part, &q, nil, w.checkETag)
		if err != nil {
			return err
		}
		w.stats[Part].bytes += size
		off += size
		xml = append(xml, "<Part><PartNumber>"+number+"</PartNumber><ETag>"+string(res.etag)+"</ETag></Part>"...)
	}
	xml = append(xml, "</CompleteMultipartUpload>"...)
	answer = answer[:0]
	q := request{method: "POST", path: path, query: upload, payload: xml}
	_, err := w.request(Complete, &q, take, func(response) error {
		if bytes.Contains(answer, []byte("<Error>")) { // S3 may fail after its 200
			return &StatusError{Status: 200, Code: errorCode(200, answer)}
		}
		return nil
	})
	return err
}
