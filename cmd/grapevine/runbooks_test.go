package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	anyBlock   = regexp.MustCompile("(?s)```.*?```")
	codeSpan   = regexp.MustCompile("`([^`]+)`") // over the end of a line, too
	invocation = regexp.MustCompile(`(?:^|[\s(])grapevine ([a-z][^|;&#>)']*)`)
)

// What a runbook has people type at 3 am must be there: each invocation of
// grapevine in alerts/ is parsed.
func TestRunbooksNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../alerts/runbooks/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal("no runbooks: ", err)
	}
	commands := 0
	for _, file := range append(files, "../../alerts/README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range invocations(string(text)) {
			commands++
			app, _ := application(io.Discard, io.Discard)
			if _, err := parse(app, args); err != nil {
				t.Errorf("%s: grapevine %s: %v", filepath.Base(file), strings.Join(args, " "), err)
			}
		}
	}
	if commands < len(files)/2 {
		t.Errorf("only %d commands found in %d files", commands, len(files))
	}
}

// invocations are the arguments with which a text in Markdown calls grapevine.
func invocations(text string) [][]string {
	var lines []string
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.Split(block[1], "\n")...)
	}
	for _, span := range codeSpan.FindAllStringSubmatch(anyBlock.ReplaceAllString(text, ""), -1) {
		lines = append(lines, strings.Join(strings.Fields(span[1]), " "))
	}
	var found [][]string
	for _, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "systemctl ") || strings.Contains(line, " systemctl ") || strings.Contains(line, "journalctl ") {
			continue // there it is the name of the unit
		}
		for _, m := range invocation.FindAllStringSubmatch(line, -1) {
			args := strings.Fields(m[1])
			for i, a := range args {
				if a == "CHECK" {
					args[i] = "disk"
				}
			}
			found = append(found, args)
		}
	}
	return found
}

func TestInvocations(t *testing.T) {
	t.Parallel()
	got := invocations("Type `grapevine status -o\n  json` or\n```sh\nssh NODE grapevine check CHECK | less  # once\nsystemctl restart grapevine x\n```\n")
	if len(got) != 2 || strings.Join(got[0], " ") != "check disk" || strings.Join(got[1], " ") != "status -o json" {
		t.Errorf("got %v", got)
	}
}
