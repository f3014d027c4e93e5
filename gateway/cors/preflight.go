package cors

import "net/http"

// What S3 says of preflights. BadRequest is answered with 400, AccessForbidden with 403 and the elements Method and
// ResourceType: the method asked about, or OPTIONS, and BUCKET where there are no rules, else what the path is.
var (
	ErrNoOrigin   = &Error{"BadRequest", "Insufficient information. Origin request header needed."}
	ErrNoBucket   = &Error{"AccessForbidden", "CORSResponse: Bucket not found"}
	ErrNotEnabled = &Error{"AccessForbidden", "CORSResponse: CORS is not enabled for this bucket."}
	ErrNotAllowed = &Error{"AccessForbidden", "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."}
)

// Preflight answers an OPTIONS request to a bucket with these rules, or nil for one without. It needs no signature, and
// does not look for the object.
//
// Errors: *Error: ErrNoOrigin, ErrNotEnabled, a BadRequest for a method that there is none of, ErrNotAllowed.
func (c *Config) Preflight(h http.Header) (*Grant, error) {
	q, ok := Read("", h)
	switch {
	case !ok:
		return nil, ErrNoOrigin
	case c == nil:
		return nil, ErrNotEnabled
	case q.Method == "":
		return nil, &Error{"BadRequest", "Invalid Access-Control-Request-Method: null"}
	case !validMethod(q.Method):
		return nil, &Error{"BadRequest", "Invalid Access-Control-Request-Method: " + q.Method}
	}
	if g := c.Match(q); g != nil {
		return g, nil
	}
	return nil, ErrNotAllowed
}
