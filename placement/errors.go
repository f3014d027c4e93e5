package placement

import "errors"

// Errors of who keeps the map, by what those can do who change it.
var (
	ErrNotFound = errors.New("placement: no such record")
	ErrInvalid  = errors.New("placement: record refused") // a bug of the caller
	ErrTooLarge = errors.New("placement: record too large")
)
