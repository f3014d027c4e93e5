package form

import (
	"net/http"
	"net/url"
	"strings"
)

// Header is what the fields say as the headers of a PutObject say it. The field "tagging" is a document, and not here.
func (f *Form) Header() http.Header {
	h := http.Header{}
	for name, value := range f.Fields {
		switch name {
		case "acl":
			h.Set("X-Amz-Acl", value)
		case "cache-control", "content-disposition", "content-encoding", "content-language", "content-md5", "content-type", "expires":
			h.Set(name, value)
		case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token":
		default:
			if strings.HasPrefix(name, "x-amz-") {
				h.Set(name, value)
			}
		}
	}
	return h
}

// Redirect is where a form that asks for it wants the browser to go after the upload. It is false if it does not ask,
// or asks for what is not a URL, which S3 passes over. etag is in its quotes.
func (f *Form) Redirect(bucket, key, etag string) (string, bool) {
	target := f.Fields["success_action_redirect"]
	if target == "" {
		target = f.Fields["redirect"] // its name of old
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", false
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "bucket=" + url.QueryEscape(bucket) + "&key=" + url.QueryEscape(key) + "&etag=" + url.QueryEscape(etag)
	return u.String(), true
}

// Status is what an upload is answered with where there is no redirect: 200 and 204 have no document, 201 has PostResponse.
func (f *Form) Status() int {
	switch f.Fields["success_action_status"] {
	case "200":
		return http.StatusOK
	case "201":
		return http.StatusCreated
	}
	return http.StatusNoContent
}
