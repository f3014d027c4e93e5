package node

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sherd-io/sherd/disk"
)

// missingMount names a path that the system's table of file systems (fstab(5)) has as a mount point and that is none now;
// empty if there is none. Where nothing was ever stored, nobody else knows that such a path is not blank (I10).
func missingMount(fs vfs.FS, table string, paths []string) string {
	points := mountPoints(table)
	for _, path := range paths {
		if points[filepath.Clean(path)] && !disk.Mounted(fs, path) {
			return path
		}
	}
	return ""
}

func mountPoints(table string) map[string]bool {
	points := map[string]bool{}
	f, err := os.Open(table)
	if err != nil {
		return points // it is not there in containers
	}
	defer f.Close()
	space := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && !strings.HasPrefix(fields[0], "#") {
			points[filepath.Clean(space.Replace(fields[1]))] = true
		}
	}
	return points
}
