package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/grapevine-mesh/grapevine/collectors"
	"github.com/grapevine-mesh/grapevine/smoke"
)

// smokePodCommand is what the pods of a smoke test run, and the image that
// they run it from.
func smokePodCommand(app *kingpin.Application, actions map[string]action) {
	pod := app.Command("smoke-pod", "Run inside a pod of a smoke test.").Hidden()
	var part string
	pod.Arg("part", "server or client.").Required().SetValue(&word{"smoke-pod", []string{"server", "client"}, &part, nil})
	task := pod.Flag("task", "What to do, as JSON. Default: what $"+smoke.TaskVariable+" says.").String()
	actions[pod.FullCommand()] = func(ctx context.Context, stdout, _ io.Writer) (int, error) {
		return 0, smoke.Pod(ctx, part, *task, stdout)
	}

	var name string
	image := app.Command("smoke-image", "Print the container image that smoke runs, as docker save does: grapevine smoke-image | ctr -n k8s.io images import -")
	image.Flag("name", "Name of the image, with its tag.").Default(smoke.DefaultImage).StringVar(&name)
	actions[image.FullCommand()] = func(_ context.Context, stdout, stderr io.Writer) (int, error) {
		return 0, printImage(stdout, stderr, func(path string) (*collectors.BinaryImage, error) {
			i, err := collectors.OpenBinaryImage(path)
			if err == nil {
				i.Name, i.Command = name, "smoke-pod"
			}
			return i, err
		})
	}
}
