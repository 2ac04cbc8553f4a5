// Command gen writes dashboards/*.json: what Grafana draws of Grapevine. Each
// dashboard is a table of panels in a file of its own. Run it at the root of
// the repository.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	dir := "dashboards"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir); err != nil {
		log.Fatal(err)
	}
}

// all are the dashboards, in the order in which they link each other.
func all() []dashboard {
	return []dashboard{overview(), node(), etcd(), controlPlane(), network(), smoke(), mesh()}
}

func write(dir string) error {
	list := all()
	for _, d := range list {
		text, err := render(d.json(list))
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, d.name+".json"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func render(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(v)
	return b.Bytes(), err
}
