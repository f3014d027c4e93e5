package form

// Code is S3's name for what is wrong with a form. It is a sentinel: errors.Is(err, form.AccessDenied).
type Code string

// Error says the code.
func (c Code) Error() string { return "form: " + string(c) }

// The codes of this package. All are answered with 400 but the ones noted.
const (
	AccessDenied          Code = "AccessDenied"       // 403: the policy has expired or does not hold
	PreconditionFailed    Code = "PreconditionFailed" // 412: not multipart/form-data
	InvalidArgument       Code = "InvalidArgument"    // a field is missing, or there twice
	MalformedPOSTRequest  Code = "MalformedPOSTRequest"
	MaxPostPreDataLength  Code = "MaxPostPreDataLengthExceeded"
	InvalidPolicyDocument Code = "InvalidPolicyDocument"
	EntityTooLarge        Code = "EntityTooLarge" // content-length-range
	EntityTooSmall        Code = "EntityTooSmall"
)

// Error is what this package says of a bad form. Is matches its Code.
type Error struct {
	Code    Code
	Message string // a sentence for the client, as S3 words it
	Facts   []Fact // further elements of S3's error document, in its order
}

// Fact is one further element of an error document.
type Fact struct{ Name, Value string }

func (e *Error) Error() string { return "form: " + string(e.Code) + ": " + e.Message }

// Is reports whether target is e's Code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

func fail(c Code, message string, facts ...Fact) *Error {
	return &Error{Code: c, Message: message, Facts: facts}
}

func malformed() *Error {
	return fail(MalformedPOSTRequest, "The body of your POST request is not well-formed multipart/form-data.")
}
