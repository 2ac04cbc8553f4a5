package collectors

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// flagsOf reads what a static pod's program is started with, by its manifest:
// the values of its flags, by name without dashes. A flag without a value is
// "true".
func (p Paths) flagsOf(manifest, program string) (map[string]string, error) {
	content, err := p.read(manifest, maxNodeFile)
	if err != nil {
		return nil, err
	}
	var pod struct {
		Spec struct {
			Containers []struct {
				Command []string `yaml:"command"`
				Args    []string `yaml:"args"`
			} `yaml:"containers"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(content, &pod); err != nil {
		return nil, fmt.Errorf("%s is not a manifest: %s", manifest, clip(err.Error(), 200))
	}
	for _, c := range pod.Spec.Containers {
		words := append(c.Command, c.Args...)
		if len(words) == 0 || !runs(words, program) {
			continue
		}
		flags := make(map[string]string)
		for _, word := range words {
			name, dashed := strings.CutPrefix(word, "--")
			if !dashed {
				continue
			}
			name, value, given := strings.Cut(name, "=")
			if !given {
				value = "true"
			}
			flags[name] = value
		}
		return flags, nil
	}
	return nil, fmt.Errorf("%s starts no %s", manifest, program)
}

// runs tells whether one of the words names the program, with its folder or
// without: RKE2 has the bare name as its first argument.
func runs(words []string, program string) bool {
	for _, word := range words {
		if word == program || strings.HasSuffix(word, "/"+program) {
			return true
		}
	}
	return false
}
