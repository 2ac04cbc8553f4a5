// Command gen writes docs/metrics.md and docs/checks.md from the descriptions
// in the code. Run it at the root of the repository.
package main

import (
	"bytes"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	for name, write := range map[string]func(*bytes.Buffer) error{"metrics.md": metrics, "checks.md": checks} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join("docs", name), b.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
