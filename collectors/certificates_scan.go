package collectors

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// certScanner looks at the files on a goroutine of its own, which may never
// come back from a disk that hangs: then the next runs wait for it and start
// no other.
type certScanner struct {
	paths    Paths
	folders  []certFolder
	settings *certificatesSettings
	node     string

	mu      sync.Mutex // guards what follows
	running *certScan  // nil when none is under way
	known   map[string]certKnown
}

// certKnown is a file as it was when it had that stamp.
type certKnown struct {
	stamp string
	file  certFile
}

// certScan is one look at all files.
type certScan struct {
	done  chan struct{} // closed when it has ended; found and raised are set then
	found *certsFound

	mu     sync.Mutex // guards what follows
	path   string     // touched now
	since  time.Time
	raised any
}

// certsFound is what a scan brought.
type certsFound struct {
	*certPlaces
	files  []certFile
	byPath map[string]*certFile
	words  map[string]map[string][]string // by certFolder.manifests
}

// look starts a scan, or goes on with the one that has not come back, and
// waits for it.
func (s *certScanner) look(ctx context.Context) *certScan {
	s.mu.Lock()
	scan := s.running
	if scan == nil {
		scan = &certScan{done: make(chan struct{}), since: time.Now()}
		s.running = scan
		go s.run(scan)
	}
	s.mu.Unlock()
	select {
	case <-scan.done:
	case <-ctx.Done():
	}
	return scan
}

func (s *certScanner) run(scan *certScan) {
	defer func() {
		if v := recover(); v != nil {
			scan.mu.Lock()
			scan.raised = fmt.Sprintf("%v\n%s", v, debug.Stack())
			scan.mu.Unlock()
		}
		s.mu.Lock()
		s.running = nil
		s.mu.Unlock()
		close(scan.done)
	}()
	scan.found = s.scan(scan.touch)
}

func (s *certScanner) scan(at func(string)) *certsFound {
	found := &certsFound{
		certPlaces: findCertificates(s.paths, s.folders, s.settings, at),
		byPath:     make(map[string]*certFile),
		words:      make(map[string]map[string][]string),
	}
	known := make(map[string]certKnown, len(found.places))
	for _, place := range found.places {
		at(place.path)
		stamp := stampCert(s.paths, place.path)
		k, ok := s.known[place.path]
		if !ok || k.stamp != stamp || k.file.err != nil {
			k = certKnown{stamp, readCertFile(s.paths, place)}
		}
		known[place.path] = k
		found.files = append(found.files, k.file)
	}
	s.known = known // of one scan at a time; with it, what is gone is forgotten
	for i := range found.files {
		found.byPath[found.files[i].place.path] = &found.files[i]
	}
	node := s.node
	for _, path := range kubeletClients {
		if client := found.byPath[path]; client != nil {
			node = nodeNameOf(client, node)
		}
	}
	for i := range s.folders {
		manifests := s.folders[i].manifests
		if found.words[manifests] == nil {
			at(manifests)
			found.words[manifests] = certWords(s.paths, node, manifests)
		}
	}
	return found
}

// touch takes note of what is about to be touched.
func (scan *certScan) touch(path string) {
	scan.mu.Lock()
	defer scan.mu.Unlock()
	scan.path, scan.since = path, time.Now()
}

// now returns what is touched and since when, and a panic that ended it.
func (scan *certScan) now() (path string, since time.Time, raised any) {
	scan.mu.Lock()
	defer scan.mu.Unlock()
	return scan.path, scan.since, scan.raised
}
