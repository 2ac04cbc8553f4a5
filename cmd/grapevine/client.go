package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/config"
)

// client asks an agent. It never takes longer than patience.
type client struct {
	url        string
	configFile string
	output     string
}

// patience is what a person at a terminal, or a monitoring plugin, has.
const patience = 1800 * time.Millisecond

// maxAnswer bounds what is read of an answer: some thousand nodes fit well.
const maxAnswer = 64 << 20

func (c *client) flags(cmd *kingpin.CmdClause) {
	cmd.Flag("url", "The agent to ask.").Default("http://127.0.0.1:9797").StringVar(&c.url)
	cmd.Flag("http.config.file", "Credentials and TLS for asking it, in the form of Prometheus' HTTP client configuration.").StringVar(&c.configFile)
	outputFlag(cmd, &c.output)
}

func outputFlag(cmd *kingpin.CmdClause, output *string) {
	oneOf(cmd.Flag("output", "How to print: text or json.").Short('o'), []string{"text", "json"}, output)
}

// get reads the JSON at path into v.
func (c *client) get(ctx context.Context, path string, v any) error {
	if u, err := url.Parse(c.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return badURLError{c.url}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	httpConfig := config.DefaultHTTPClientConfig
	if c.configFile != "" {
		loaded, _, err := config.LoadHTTPConfigFile(c.configFile)
		if err != nil {
			return fmt.Errorf("--http.config.file: %w", err)
		}
		httpConfig = *loaded
	}
	httpClient, err := config.NewClientFromConfig(httpConfig, "grapevine")
	if err != nil {
		return fmt.Errorf("--http.config.file: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.url, "/")+path, nil)
	if err != nil {
		return err
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return unreachable(c.url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return unreachable(c.url, err)
	}
	if response.StatusCode != http.StatusOK {
		return unreachable(c.url, fmt.Errorf("it answers %s", response.Status))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return unreachable(c.url, fmt.Errorf("what answers is no grapevine agent: %w", err))
	}
	return nil
}

// unreachableError means that nothing is known: exit code 3, not 2.
type unreachableError struct{ err error }

func (e unreachableError) Error() string { return e.err.Error() }

func unreachable(url string, err error) error {
	var urlError interface{ Unwrap() error }
	if errors.As(err, &urlError) && errors.Unwrap(err) != nil {
		err = errors.Unwrap(err) // the method and the address are ours to say
	}
	return unreachableError{fmt.Errorf("no answer from the agent at %s: %w; is it running (systemctl status grapevine)? another node's --url answers as well", url, err)}
}

type badURLError struct{ url string }

func (e badURLError) Error() string {
	return fmt.Sprintf("--url: %q is not an address like http://127.0.0.1:9797", e.url)
}
