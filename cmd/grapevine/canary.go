package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/collectors"
)

// canaryCommand is what the canaries of the container runtimes run, and the
// image that they run it from.
func canaryCommand(app *kingpin.Application, actions map[string]action) {
	run := app.Command("canary", "End at once, and well: the canaries of the checks docker and cri run this in a container.").Hidden()
	actions[run.FullCommand()] = func(context.Context, io.Writer, io.Writer) (int, error) { return 0, nil }

	image := app.Command("canary-image", "Print the canary's container image, as docker save does: grapevine canary-image | ctr -n k8s.io images import -")
	actions[image.FullCommand()] = func(_ context.Context, stdout, stderr io.Writer) (int, error) {
		return 0, printImage(stdout, stderr, collectors.OpenCanaryImage)
	}
}

// printImage writes the image that open makes of this binary, and its name to
// stderr.
func printImage(stdout, stderr io.Writer, open func(path string) (*collectors.BinaryImage, error)) error {
	if file, ok := stdout.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return errors.New("an image is nothing for a terminal: send it to a file, or to ctr -n k8s.io images import -")
		}
	}
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary: %w", err)
	}
	i, err := open(path)
	if err != nil {
		return err
	}
	defer func() { _ = i.Close() }()
	if err := i.Write(stdout); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	_, err = fmt.Fprintln(stderr, i.Name)
	return err
}
