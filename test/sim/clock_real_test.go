//go:build !faketime

package sim

// simulated reports that this process's clock is the simulated one.
const simulated = false
