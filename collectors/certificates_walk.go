package collectors

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Bounds of one scan. A node of kubeadm has some 20 certificates, one of RKE2
// some 40.
const (
	maxCertFiles   = 200
	maxCertFolders = 200
	maxCertDepth   = 6
	maxCertEntries = 5000 // names read of all folders together
)

// certPlace is a file to look at, and what is certain of it.
type certPlace struct {
	path       string // on the node
	rule       certRule
	folder     *certFolder // nil when it was configured
	configured bool        // by its own name: it has to be there
}

// certPlaces is what a scan found to look at.
type certPlaces struct {
	places  []certPlace
	surplus []string // files that are left out, in the order found
	cut     []string // folders that were not read to their end
	refused []string // folders that this user may not read
	entries int
	folders int
	had     map[string]bool
}

func (p *certPlaces) add(place certPlace) {
	if p.had[place.path] {
		return
	}
	p.had[place.path] = true
	if len(p.places) == maxCertFiles {
		p.surplus = append(p.surplus, place.path)
		return
	}
	p.places = append(p.places, place)
}

// findCertificates lists what there is below the folders and the paths.
// at is told what is about to be touched.
func findCertificates(paths Paths, folders []certFolder, settings *certificatesSettings, at func(string)) *certPlaces {
	p := &certPlaces{had: make(map[string]bool)}
	for _, ignored := range settings.Ignore {
		if !strings.ContainsAny(ignored, `*?[\`) {
			p.had[path.Clean(ignored)] = true
		}
	}
	for i := range folders {
		// What is known first, so that no surplus crowds it out.
		p.known(paths, &folders[i], at)
	}
	for _, configured := range settings.Paths {
		p.configured(paths, configured, at)
	}
	for i := range folders {
		if folders[i].walk {
			p.walk(paths, folders[i].path, &folders[i], 0, at)
		}
	}
	p.places = slices.DeleteFunc(p.places, func(place certPlace) bool {
		return slices.ContainsFunc(settings.Ignore, func(pattern string) bool {
			matched, err := path.Match(pattern, place.path)
			return err == nil && matched
		})
	})
	return p
}

// known adds the files that a folder's rules name and that exist.
func (p *certPlaces) known(paths Paths, folder *certFolder, at func(string)) {
	for _, rule := range folder.rules {
		full := folder.within(rule.file)
		if strings.Contains(rule.file, "*") {
			for _, name := range p.list(paths, path.Dir(full), at) {
				if matched, _ := path.Match(path.Base(full), name.Name()); matched && !name.IsDir() {
					p.add(certPlace{path: path.Join(path.Dir(full), name.Name()), rule: rule, folder: folder})
				}
			}
			continue
		}
		at(full)
		// What may not be looked at is there, and gets a verdict that says so.
		if _, err := os.Lstat(paths.inRoot(full)); err == nil || errors.Is(err, fs.ErrPermission) {
			p.add(certPlace{path: full, rule: rule, folder: folder})
		}
	}
}

// configured adds what one of the settings' paths means.
func (p *certPlaces) configured(paths Paths, configured string, at func(string)) {
	full := path.Clean(configured)
	if strings.ContainsAny(path.Base(full), `*?[\`) {
		for _, name := range p.list(paths, path.Dir(full), at) {
			if matched, _ := path.Match(path.Base(full), name.Name()); matched && !name.IsDir() {
				p.add(certPlace{path: path.Join(path.Dir(full), name.Name())})
			}
		}
		return
	}
	at(full)
	if resolved, err := paths.follow(full); err == nil {
		if info, err := os.Lstat(paths.inRoot(resolved)); err == nil && info.IsDir() {
			p.walk(paths, full, nil, 0, at)
			return
		}
	}
	p.add(certPlace{path: full, configured: true})
}

// walk adds every file below dir that is called as certificates are. Links to
// folders are not followed, so it cannot go round in circles.
func (p *certPlaces) walk(paths Paths, dir string, folder *certFolder, depth int, at func(string)) {
	if p.folders++; depth > maxCertDepth || p.folders > maxCertFolders {
		p.cut = append(p.cut, dir)
		return
	}
	for _, entry := range p.list(paths, dir, at) {
		full := path.Join(dir, entry.Name())
		switch path.Ext(entry.Name()) {
		case ".crt", ".pem", ".cert", ".cer":
			if !entry.IsDir() {
				p.add(certPlace{path: full, rule: certRule{minor: true}, folder: folder})
			}
		}
		if entry.IsDir() {
			p.walk(paths, full, folder, depth+1, at)
		}
	}
}

// list reads a folder as far as the bounds allow, sorted by name. One that is
// not there is empty.
func (p *certPlaces) list(paths Paths, dir string, at func(string)) []fs.DirEntry {
	at(dir)
	resolved, err := paths.follow(dir)
	if err != nil {
		p.refuse(dir, err)
		return nil
	}
	f, err := os.OpenFile(paths.inRoot(resolved), os.O_RDONLY|syscall.O_NONBLOCK, 0) // it could be a FIFO
	if err != nil {
		p.refuse(dir, err)
		return nil
	}
	defer f.Close()
	var all []fs.DirEntry
	for {
		if p.entries >= maxCertEntries {
			if !slices.Contains(p.cut, dir) {
				p.cut = append(p.cut, dir)
			}
			break
		}
		entries, err := f.ReadDir(min(256, maxCertEntries-p.entries))
		p.entries += len(entries)
		all = append(all, entries...)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				p.refuse(dir, err)
			}
			break
		}
	}
	slices.SortFunc(all, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	return all
}

func (p *certPlaces) refuse(dir string, err error) {
	if errors.Is(err, fs.ErrPermission) && !slices.Contains(p.refused, dir) {
		p.refused = append(p.refused, dir)
	}
}
