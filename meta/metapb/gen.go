// Package metapb holds the generated wire and row types of package meta.
package metapb

//go:generate ./gen.sh
