// Package remotepb holds the generated messages that nodes of the object records send each other.
package remotepb

//go:generate ./gen.sh
