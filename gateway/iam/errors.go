package iam

import (
	"fmt"
	"net/http"
)

// Code is the code of an error, as clients see it.
type Code string

// The codes. Source: Common Errors and the pages of the operations, IAM API Reference.
const (
	AccessDenied            Code = "AccessDenied"
	ConcurrentModification  Code = "ConcurrentModification"
	DeleteConflict          Code = "DeleteConflict"
	EntityAlreadyExists     Code = "EntityAlreadyExists"
	IncompleteSignature     Code = "IncompleteSignature"
	InvalidAction           Code = "InvalidAction"
	InvalidClientTokenID    Code = "InvalidClientTokenId"
	InvalidInput            Code = "InvalidInput"
	LimitExceeded           Code = "LimitExceeded"
	MalformedInput          Code = "MalformedInput"
	MalformedPolicyDocument Code = "MalformedPolicyDocument"
	MissingAuthToken        Code = "MissingAuthenticationToken"
	MissingParameter        Code = "MissingParameter"
	NoSuchEntity            Code = "NoSuchEntity"
	ServiceFailure          Code = "ServiceFailure"
	ServiceUnavailable      Code = "ServiceUnavailable"
	SignatureDoesNotMatch   Code = "SignatureDoesNotMatch"
	ValidationError         Code = "ValidationError"
)

// statuses are the HTTP statuses that are not 400.
var statuses = map[Code]int{
	AccessDenied: http.StatusForbidden, InvalidClientTokenID: http.StatusForbidden, MissingAuthToken: http.StatusForbidden,
	SignatureDoesNotMatch: http.StatusForbidden, NoSuchEntity: http.StatusNotFound, DeleteConflict: http.StatusConflict,
	ConcurrentModification: http.StatusConflict,
	EntityAlreadyExists:    http.StatusConflict, LimitExceeded: http.StatusConflict,
	ServiceFailure: http.StatusInternalServerError, ServiceUnavailable: http.StatusServiceUnavailable,
}

// Error is a refusal with what a client is told of it.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return "iam: " + string(e.Code) + ": " + e.Message }

// Status is the HTTP status that goes with e.
func (e *Error) Status() int {
	if status := statuses[e.Code]; status != 0 {
		return status
	}
	return http.StatusBadRequest
}

// fault is the Type of an error: whose it is.
func (e *Error) fault() string {
	if e.Status() >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

func fail(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}
