package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// scrapeTimeout is how long the slowest may take for the largest cluster.
const scrapeTimeout = time.Minute

// scraper asks over one connection that it keeps, as Prometheus does, and takes
// answers as they come: compressed, and without a look at them.
type scraper struct {
	client *http.Client
	buf    []byte
}

func newScraper() *scraper {
	const chunk = 256 << 10
	return &scraper{
		client: &http.Client{Timeout: scrapeTimeout, Transport: &http.Transport{DisableCompression: true, ReadBufferSize: chunk}},
		buf:    make([]byte, chunk),
	}
}

func (s *scraper) close() { s.client.CloseIdleConnections() }

// scrape returns the time until the last byte of the answer, and its size on
// the way. The error of an answer in another form is unsupported.
func (s *scraper) scrape(ctx context.Context, url string, f form) (took time.Duration, bytes int64, err error) {
	start := time.Now()
	resp, err := s.ask(ctx, url, f)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	for {
		n, err := resp.Body.Read(s.buf)
		bytes += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return time.Since(start), bytes, nil
		case err != nil:
			return 0, 0, fmt.Errorf("reading the answer: %w", err)
		}
	}
}

// ask returns an answer of that form.
func (s *scraper) ask(ctx context.Context, url string, f form) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accepts[f.format])
	req.Header.Set("Accept-Encoding", f.encoding)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scraping: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("scraping %s: %s: %s", url, resp.Status, body)
	}
	if err := f.of(resp.Header); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// post asks url to do something and waits until it has.
func (s *scraper) post(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s", url, resp.Status)
	}
	return nil
}
