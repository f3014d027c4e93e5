package disk_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk/disktest"
)

func TestContract(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		disktest.Run(t, func(t *testing.T) disktest.Drive {
			opt := options(vfs.NewMem(), "/drive")
			format(t, opt)
			return disktest.Local(open(t, opt))
		})
	})
	t.Run("os", func(t *testing.T) {
		disktest.Run(t, func(t *testing.T) disktest.Drive {
			opt := options(vfs.Default, t.TempDir())
			format(t, opt)
			return disktest.Local(open(t, opt))
		})
	})
}
