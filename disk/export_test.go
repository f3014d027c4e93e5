package disk

import "errors"

// Abandon leaves the drive as a killed process does: nothing more is flushed.
func (d *Drive) Abandon() {
	d.rowsFatal.Store(true) // Pebble is not closed, so it flushes nothing
	d.fail(errors.New("abandoned by a test"))
}

// Full reports whether the workers' queue has no room.
func (d *Drive) Full() bool { return len(d.tasks) == cap(d.tasks) }
