package collectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
)

// dockerSteps are the canary's steps, in their order.
var dockerSteps = []string{"prepare", "create", "start", "wait", "remove"}

// planCanary removes what is left of earlier canaries, and finds the image.
func (c *dockerCheck) planCanary(ctx context.Context) (steps []canaryStep, removed int, err error) {
	ours := client.Filters{}.Add("label", canaryLabel+"="+c.node)
	left, err := c.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, 0, fmt.Errorf("listing the containers of earlier canaries: %w", err)
	}
	for _, l := range left.Items {
		if err := c.removeContainer(ctx, l.ID); err != nil {
			return nil, removed, fmt.Errorf("removing a container of an earlier canary: %w", err)
		}
		removed++
	}
	name, err := c.canaryImage(ctx)
	if err != nil {
		return nil, removed, err
	}
	var id string
	return []canaryStep{
		{name: "create", run: func(ctx context.Context) (err error) {
			id, err = c.createContainer(ctx, name)
			return err
		}},
		{name: "start", run: func(ctx context.Context) error {
			_, err := c.docker.ContainerStart(ctx, id, client.ContainerStartOptions{})
			return err
		}},
		{name: "wait", run: func(ctx context.Context) error { return c.waitContainer(ctx, id) }},
		{name: "remove", clears: true, run: func(ctx context.Context) error {
			if id == "" {
				return nil
			}
			return c.removeContainer(ctx, id)
		}},
	}, removed, nil
}

// canaryImage returns the name of an image to run. It loads the agent's own
// binary, if it is told to, and then removes the images of earlier versions.
func (c *dockerCheck) canaryImage(ctx context.Context) (string, error) {
	list, err := c.docker.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("label", canaryImageLabel)})
	if err != nil {
		return "", fmt.Errorf("listing the canary's images: %w", err)
	}
	images := slices.DeleteFunc(list.Items, func(i image.Summary) bool { return len(i.RepoTags) == 0 })
	if c.settings.Canary.Mode != "on" {
		if len(images) == 0 {
			return "", NoImageError{"no image of it is in Docker; mode: on loads one"}
		}
		newest := slices.MaxFunc(images, func(x, y image.Summary) int { return int(x.Created - y.Created) })
		return newest.RepoTags[0], nil
	}
	has := func(name string) bool {
		return slices.ContainsFunc(images, func(i image.Summary) bool { return slices.Contains(i.RepoTags, name) })
	}
	if c.imported == "" || !has(c.imported) {
		if c.imported, err = c.loadImage(ctx, has); err != nil {
			c.imported = ""
			return "", err
		}
	}
	for _, i := range images {
		if !slices.Contains(i.RepoTags, c.imported) {
			if _, err := c.docker.ImageRemove(ctx, i.RepoTags[0], client.ImageRemoveOptions{PruneChildren: true}); err != nil {
				return "", fmt.Errorf("removing the canary's image of an earlier version: %w", err)
			}
		}
	}
	return c.imported, nil
}

// loadImage loads the image of the agent's binary unless Docker has it, and
// returns its name as Docker shows it.
func (c *dockerCheck) loadImage(ctx context.Context, has func(name string) bool) (string, error) {
	path, err := c.binary()
	if err != nil {
		return "", fmt.Errorf("finding the agent's own binary: %w", err)
	}
	i, err := OpenCanaryImage(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = i.Close() }()
	name := i.ShortName()
	if has(name) {
		return name, nil
	}
	if err := c.docker.Load(ctx, i); err != nil {
		return "", fmt.Errorf("loading the canary's image: %w", err)
	}
	return name, nil
}

// Load loads an image into Docker.
func (d *Docker) Load(ctx context.Context, i *BinaryImage) error {
	r, w := io.Pipe()
	var writing parallel
	writing.run(func() { w.CloseWithError(i.Write(w)) })
	answer, err := d.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	_ = r.CloseWithError(errors.New("the daemon has stopped reading"))
	writing.wait()
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	return loadError(answer)
}

// loadError finds the error in what the daemon tells while it loads: by then
// it has answered 200.
func loadError(answer io.Reader) error {
	for d := json.NewDecoder(answer); ; {
		var message struct{ Error string }
		switch err := d.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != "":
			return errors.New(message.Error)
		}
	}
}

// createContainer makes a container that may do as little as possible.
func (c *dockerCheck) createContainer(ctx context.Context, image string) (id string, err error) {
	created, err := c.docker.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: image, Labels: map[string]string{canaryLabel: c.node}, NetworkDisabled: true},
		HostConfig: &container.HostConfig{
			NetworkMode:    "none",
			LogConfig:      container.LogConfig{Type: "none"},
			ReadonlyRootfs: true,
			CapDrop:        []string{"ALL"},
			SecurityOpt:    []string{"no-new-privileges"},
			RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		},
	})
	return created.ID, err
}

// waitContainer waits until the container has ended, and wants it well.
func (c *dockerCheck) waitContainer(ctx context.Context, id string) error {
	waiting := c.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	// One of them comes for sure, at the latest when ctx ends.
	select {
	case err := <-waiting.Error:
		return err
	case end := <-waiting.Result:
		if end.Error != nil {
			return errors.New(end.Error.Message)
		}
		if end.StatusCode != 0 {
			return fmt.Errorf("the container ended with exit code %d", end.StatusCode)
		}
		return nil
	}
}

func (c *dockerCheck) removeContainer(ctx context.Context, id string) error {
	_, err := c.docker.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	return err
}
