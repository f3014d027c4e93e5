package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/sherd-io/sherd/erasure"
	"github.com/sherd-io/sherd/gateway/cors"
	"github.com/sherd-io/sherd/gateway/form"
	"github.com/sherd-io/sherd/gateway/object"
	"github.com/sherd-io/sherd/gateway/s3xml"
	"github.com/sherd-io/sherd/gateway/sigv4"
	"github.com/sherd-io/sherd/meta"
)

// apiError is an error as S3 says it.
type apiError struct {
	code    string
	status  int
	message string
	extra   []s3xml.Extra
	retry   bool  // Retry-After is sent
	cause   error // for the log
}

func (e *apiError) Error() string { return e.code + ": " + e.message }
func (e *apiError) Unwrap() error { return e.cause }

// Is makes two errors of one code equal.
func (e *apiError) Is(target error) bool {
	t, ok := target.(*apiError)
	return ok && t.code == e.code
}

// with is e with further elements.
func (e *apiError) with(extra ...s3xml.Extra) *apiError {
	c := *e
	c.extra = extra
	return &c
}

// say is e with another message.
func (e *apiError) say(format string, args ...any) *apiError {
	c := *e
	c.message = fmt.Sprintf(format, args...)
	return &c
}

func newError(status int, code, message string) *apiError {
	return &apiError{code: code, status: status, message: message}
}

// The errors that the gateway itself finds. Source: Amazon S3 API Reference, "Error responses".
var (
	errAccessDenied         = newError(403, "AccessDenied", "Access Denied")
	errBadDigest            = newError(400, "BadDigest", "The Content-MD5 or checksum value that you specified did not match what the server received.")
	errBucketExists         = newError(409, "BucketAlreadyExists", "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.")
	errBucketOwned          = newError(409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	errBucketNotEmpty       = newError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty.")
	errEntityTooLarge       = newError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
	errEntityTooSmall       = newError(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
	errIncompleteBody       = newError(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
	errInsufficientStorage  = newError(507, "InsufficientStorage", "The drives are full. Delete objects or add drives, then try again.")
	errInternal             = newError(500, "InternalError", "We encountered an internal error. Please try again.")
	errInvalidArgument      = newError(400, "InvalidArgument", "Invalid Argument")
	errInvalidBucketName    = newError(400, "InvalidBucketName", "The specified bucket is not valid.")
	errInvalidDigest        = newError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
	errInvalidPart          = newError(400, "InvalidPart", "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
	errInvalidPartNumber    = newError(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
	errInvalidPartOrder     = newError(400, "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
	errInvalidRange         = newError(416, "InvalidRange", "The requested range is not satisfiable")
	errInvalidRequest       = newError(400, "InvalidRequest", "Invalid Request")
	errInvalidStorageClass  = newError(400, "InvalidStorageClass", "The storage class you specified is not valid")
	errInvalidRedirect      = newError(400, "InvalidRedirectLocation", "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.")
	errInvalidURI           = newError(400, "InvalidURI", "Couldn't parse the specified URI.")
	errKeyMissing           = newError(400, "UserKeyMustBeSpecified", "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.")
	errKeyTooLong           = newError(400, "KeyTooLongError", "Your key is too long")
	errMalformedXML         = newError(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	errMetadataTooLarge     = newError(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
	errMethodNotAllowed     = newError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	errMissingBody          = newError(400, "MissingRequestBodyError", "Request Body is empty")
	errMissingContentLength = newError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	errMissingMD5           = newError(400, "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
	errNoBucketPolicy       = newError(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
	errNoSuchBucket         = newError(404, "NoSuchBucket", "The specified bucket does not exist")
	errNoSuchKey            = newError(404, "NoSuchKey", "The specified key does not exist.")
	errNoSuchUpload         = newError(404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
	errNoSuchVersion        = newError(404, "NoSuchVersion", "The specified version does not exist.")
	errNotImplemented       = newError(501, "NotImplemented", "A header or query you provided implies functionality that is not implemented.")
	errOperationAborted     = newError(409, "OperationAborted", "A conflicting conditional operation is currently in progress against this resource. Try again.")
	errPreconditionFailed   = newError(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	errRequestTimeout       = newError(400, "RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period.")
	errRequestTooLarge      = newError(400, "MaxMessageLengthExceeded", "Your request was too big.")
	errSlowDown             = &apiError{code: "SlowDown", status: 503, message: "Please reduce your request rate.", retry: true}
	errUnavailable          = &apiError{code: "ServiceUnavailable", status: 503, message: "The server cannot do this safely at the moment. Please try again.", retry: true}
	errTooManyParams        = errInvalidURI.say("The query has too many parameters.")
)

// s3Errors says what each error of the parts below means to a client. The first match counts.
var s3Errors = []struct {
	is  error
	api *apiError
}{
	{meta.ErrNoSuchVersion, errNoSuchVersion}, // before what it is, too
	{meta.ErrNoSuchKey, errNoSuchKey},
	{meta.ErrNoSuchUpload, errNoSuchUpload},
	{meta.ErrPrecondition, errPreconditionFailed},
	{meta.ErrLocked, errAccessDenied.say("Access Denied because object protected by object lock.")},
	{meta.ErrPartChanged, errInvalidPart},
	{meta.ErrSealed, errOperationAborted},
	{meta.ErrNoSuchBucket, errUnavailable.say("The bucket was deleted while it was read. Please try again.")},
	{meta.ErrTooOld, errRequestTimeout},
	{meta.ErrReclaimed, errRequestTimeout},
	{meta.ErrFull, errInsufficientStorage},
	{meta.ErrStaleRules, errUnavailable},
	{meta.ErrPoolClosed, errUnavailable},
	{meta.ErrUnavailable, errUnavailable},
	{erasure.ErrNoQuorum, errSlowDown.say("Too few drives can take the data at the moment. Please try again.")},
	{erasure.ErrFull, errInsufficientStorage},
	{erasure.ErrUnavailable, errSlowDown.say("Too few drives can be read at the moment. Please try again.")},
	{erasure.ErrLost, errInternal.say("The data of this object is lost: more of its drives are gone than it can lose.")},
	{erasure.ErrCorrupt, errInternal.say("The data of this object is damaged.")},
	{object.ErrIncompleteBody, errIncompleteBody},
	{object.ErrBodyTooLong, errIncompleteBody},
	{object.ErrBadDigest, errBadDigest},
	{object.ErrInvalidPart, errInvalidPart},
	{object.ErrPartOrder, errInvalidPartOrder},
	{object.ErrPartTooSmall, errEntityTooSmall},
	{object.ErrTooLarge, errEntityTooLarge},
	{object.ErrSizeMismatch, errInvalidRequest},
	{object.ErrChecksumType, errInvalidRequest},
	{object.ErrChecksumMode, errInvalidRequest},
	{object.ErrChecksumMissing, errInvalidRequest},
	{object.ErrNoSuchPart, errInvalidPartNumber},
	{object.ErrTooSlow, errRequestTimeout},
	{os.ErrDeadlineExceeded, errRequestTimeout},
	{io.ErrUnexpectedEOF, errIncompleteBody},
	{context.DeadlineExceeded, errUnavailable},
	{context.Canceled, errRequestTimeout},
}

// sigStatus is the status of each of sigv4's codes that is not 400.
var sigStatus = map[sigv4.Code]int{
	sigv4.AccessDenied: 403, sigv4.InvalidAccessKeyID: 403, sigv4.SignatureDoesNotMatch: 403,
	sigv4.RequestTimeTooSkewed: 403, sigv4.MissingContentLength: 411, sigv4.ServiceUnavailable: 503,
}

// toAPI finds what err means to a client. What is in no table is InternalError.
func toAPI(err error) *apiError {
	if api, ok := errors.AsType[*apiError](err); ok {
		return api
	}
	if sig, ok := errors.AsType[*sigv4.Error](err); ok {
		return fromSignature(sig)
	}
	if bad, ok := errors.AsType[*form.Error](err); ok {
		return fromForm(bad)
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errRequestTooLarge.with(s3xml.Extra{Name: "MaxMessageLengthBytes", Value: fmt.Sprint(tooLarge.Limit)})
	}
	if bad, ok := errors.AsType[*cors.Error](err); ok {
		return newError(400, bad.Code, bad.Message)
	}
	if tag := tagError(err); tag != nil {
		return tag
	}
	for _, row := range s3Errors {
		if errors.Is(err, row.is) {
			return detailed(row.api, err)
		}
	}
	api := *errInternal
	api.cause = err
	return &api
}

// tagError is what S3 says of tags that it does not take; nil if err is nothing of the kind.
func tagError(err error) *apiError {
	say := func(message string) *apiError {
		api := newError(400, "InvalidTag", message)
		if bad, ok := errors.AsType[*s3xml.TagError](err); ok {
			api = api.with(s3xml.Extra{Name: "TagKey", Value: bad.Tag.Key[:min(len(bad.Tag.Key), 256)]}, s3xml.Extra{Name: "TagValue", Value: bad.Tag.Value[:min(len(bad.Tag.Value), 512)]})
		}
		return api
	}
	if many, ok := errors.AsType[*s3xml.TagCountError](err); ok {
		if many.Max == s3xml.BucketTagsMax {
			return newError(400, "BadRequest", "Bucket tag count cannot be greater than 50")
		}
		return newError(400, "BadRequest", "Object tags cannot be greater than 10")
	}
	switch {
	case errors.Is(err, s3xml.ErrTagKey):
		return say("The TagKey you have provided is invalid")
	case errors.Is(err, s3xml.ErrTagValue):
		return say("The TagValue you have provided is invalid")
	case errors.Is(err, s3xml.ErrTagDuplicate):
		return say("Cannot provide multiple Tags with the same key")
	case errors.Is(err, s3xml.ErrTagReserved):
		return say("System tags cannot be added/updated by requester")
	}
	return nil
}

func fromSignature(sig *sigv4.Error) *apiError {
	api := newError(400, string(sig.Code), sig.Message)
	if status := sigStatus[sig.Code]; status != 0 {
		api.status = status
	}
	api.retry = api.status == http.StatusServiceUnavailable
	for _, f := range sig.Facts {
		api.extra = append(api.extra, s3xml.Extra(f))
	}
	if errors.Is(sig.Cause, os.ErrDeadlineExceeded) {
		return errRequestTimeout
	}
	return api
}

// formStatus is the status of each of form's codes that is not 400.
var formStatus = map[form.Code]int{form.AccessDenied: 403, form.PreconditionFailed: 412}

func fromForm(bad *form.Error) *apiError {
	api := newError(400, string(bad.Code), bad.Message)
	if status := formStatus[bad.Code]; status != 0 {
		api.status = status
	}
	for _, f := range bad.Facts {
		api.extra = append(api.extra, s3xml.Extra(f))
	}
	return api
}

// detailed adds the facts that S3 adds.
func detailed(api *apiError, err error) *apiError {
	if d, ok := errors.AsType[*object.DigestError](err); ok {
		if d.Algorithm != "Content-MD5" {
			return api.say("The %s you specified did not match the calculated checksum.", d.Algorithm)
		}
		return api.say("The Content-MD5 you specified did not match what we received.").with(
			s3xml.Extra{Name: "ExpectedDigest", Value: fmt.Sprintf("%x", d.Given)},
			s3xml.Extra{Name: "CalculatedDigest", Value: fmt.Sprintf("%x", d.Computed)})
	}
	if c, ok := errors.AsType[*object.ChecksumError](err); ok {
		return api.say("%s", checksumMisfit(c))
	}
	if size, ok := errors.AsType[*object.SizeError](err); ok {
		return api.say("The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d", size.Said, size.Computed)
	}
	if p, ok := errors.AsType[*object.PartError](err); ok && p.Part > 0 {
		extra := []s3xml.Extra{{Name: "PartNumber", Value: fmt.Sprint(p.Part)}, {Name: "ETag", Value: p.ETag}}
		if errors.Is(p, object.ErrPartTooSmall) {
			extra = append([]s3xml.Extra{
				{Name: "ProposedSize", Value: fmt.Sprint(p.Size)}, {Name: "MinSizeAllowed", Value: fmt.Sprint(object.PartBytesMin)},
			}, extra...)
		}
		return api.with(extra...)
	}
	c := *api
	c.cause = err
	return &c
}

// checksumMisfit is what S3 says of a checksum that does not fit its upload.
func checksumMisfit(c *object.ChecksumError) string {
	name := func(a object.Algorithm) string { return cmp.Or(strings.ToLower(object.AlgorithmName(a)), "null") }
	asked := name(c.Upload.GetAlgorithm())
	switch c.Err {
	case object.ErrChecksumMissing:
		return fmt.Sprintf("The upload was created using a %s checksum. The complete request must include the checksum for each part. It was missing for part %d in the request.", asked, c.Part)
	case object.ErrChecksumMode:
		return fmt.Sprintf("The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", checksumType(c.Upload))
	case object.ErrBadDigest:
		return fmt.Sprintf("The %s you specified for part %d did not match what we received.", name(c.Given), c.Part)
	}
	return fmt.Sprintf("Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s", asked, name(c.Given))
}

// badArgument is InvalidArgument with the name and the value.
func badArgument(name, value, message string) error {
	return errInvalidArgument.say("%s", message).with(
		s3xml.Extra{Name: "ArgumentName", Value: name}, s3xml.Extra{Name: "ArgumentValue", Value: value[:min(len(value), 256)]})
}
