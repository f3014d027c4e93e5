package sigv4

// Code is S3's name for what is wrong with a request. It is a sentinel: errors.Is(err, sigv4.AccessDenied).
type Code string

// Error says the code.
func (c Code) Error() string { return "sigv4: " + string(c) }

// The codes of Verify, VerifyPost and BodyReader. All but the ones noted are answered with 400 or 403.
const (
	AccessDenied                      Code = "AccessDenied" // unsigned headers, no date, a presigned request that is expired or not yet valid
	InvalidAccessKeyID                Code = "InvalidAccessKeyId"
	SignatureDoesNotMatch             Code = "SignatureDoesNotMatch"
	RequestTimeTooSkewed              Code = "RequestTimeTooSkewed"
	AuthorizationHeaderMalformed      Code = "AuthorizationHeaderMalformed" // also the wrong region
	AuthorizationQueryParametersError Code = "AuthorizationQueryParametersError"
	XAmzContentSHA256Mismatch         Code = "XAmzContentSHA256Mismatch"
	InvalidArgument                   Code = "InvalidArgument"
	InvalidRequest                    Code = "InvalidRequest"       // signature version 2, a body that is not aws-chunked though it says so
	IncompleteBody                    Code = "IncompleteBody"       // shorter or longer than announced
	MissingContentLength              Code = "MissingContentLength" // 411
	MalformedTrailer                  Code = "MalformedTrailerError"
	ServiceUnavailable                Code = "ServiceUnavailable" // 503: the secret cannot be had at the moment
)

// Error is what this package says of a bad request. Is matches its Code.
type Error struct {
	Code    Code
	Message string // a sentence for the client, as S3 words it
	Facts   []Fact // further elements of S3's error document, in its order
	Cause   error  // nil, or what reading the body met
}

// Fact is one further element of an error document, such as StringToSign.
type Fact struct{ Name, Value string }

func (e *Error) Error() string { return "sigv4: " + string(e.Code) + ": " + e.Message }

// Is reports whether target is e's Code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Fact is the value of the fact of that name, or "".
func (e *Error) Fact(name string) string {
	for _, f := range e.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func fail(c Code, message string, facts ...Fact) *Error {
	return &Error{Code: c, Message: message, Facts: facts}
}
