package alerts

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// shell takes apart as much of the shell's language as runbooks use: lists,
// pipes, quotes, comments, redirections, and commands within words.
type shell struct {
	rest     string
	commands [][]string
}

// commandsIn are the words of all commands in a script, those within words and
// those for other machines included. A command within a word leaves "$()".
func commandsIn(script string) ([][]string, error) {
	s := shell{rest: script}
	if err := s.list(0); err != nil {
		return nil, fmt.Errorf("%w in %s", err, script)
	}
	var all [][]string
	for _, words := range s.commands {
		inner, err := unwrap(words)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}

// unwrap is what ssh and timeout are to run, or an alias stands for, or the
// command itself.
func unwrap(words []string) ([][]string, error) {
	if words[0] == "alias" && len(words) == 2 {
		_, script, _ := strings.Cut(words[1], "=")
		return commandsIn(script)
	}
	if len(words) < 3 || words[0] != "ssh" && words[0] != "timeout" {
		return [][]string{words}, nil
	}
	if words[0] == "ssh" && len(words) == 3 {
		return commandsIn(words[2]) // the shell over there reads it once more
	}
	return unwrap(words[2:])
}

// list reads commands up to end, or with 0 to the end of the text.
func (s *shell) list(end byte) error {
	var words []string
	var word strings.Builder
	begun, target := false, false // a word; what follows a redirection
	endWord := func() {
		if begun && !target {
			words = append(words, word.String())
		}
		if begun {
			target = false
		}
		begun = false
		word.Reset()
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			s.commands = append(s.commands, words)
		}
		words = nil
	}
	for {
		if s.rest == "" {
			endCommand()
			if end != 0 {
				return fmt.Errorf("no %q", end)
			}
			return nil
		}
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == end:
			endCommand()
			return nil
		case c == ' ' || c == '\t':
			endWord()
		case strings.IndexByte("\n;|&", c) >= 0:
			endCommand()
		case c == '#' && !begun:
			_, s.rest, _ = strings.Cut(s.rest, "\n")
			endCommand()
		case c == '<' || c == '>':
			if strings.Trim(word.String(), "0123456789") == "" {
				begun = false // the number of a file
			}
			endWord()
			target = true
			s.rest = strings.TrimPrefix(s.rest, "&")
		case strings.IndexByte("`(){}", c) >= 0:
			return fmt.Errorf("%q", c)
		default:
			begun = true
			text, err := s.part(c)
			if err != nil {
				return err
			}
			word.WriteString(text)
		}
	}
}

// part is a piece of a word that begins with c.
func (s *shell) part(c byte) (string, error) {
	switch {
	case c == '\'':
		text, rest, closed := strings.Cut(s.rest, "'")
		if !closed {
			return "", fmt.Errorf("no %q", c)
		}
		s.rest = rest
		return text, nil
	case c == '$' && strings.HasPrefix(s.rest, "("):
		s.rest = s.rest[1:]
		return "$()", s.list(')')
	case c == '"':
		var text strings.Builder
		for s.rest != "" {
			c, s.rest = s.rest[0], s.rest[1:]
			if c == '"' {
				return text.String(), nil
			}
			inner := string(c)
			if c == '$' {
				var err error
				if inner, err = s.part(c); err != nil {
					return "", err
				}
			}
			text.WriteString(inner)
		}
		return "", fmt.Errorf("no %q", c)
	}
	return string(c), nil
}

func TestCommandsIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		want   []string // words are joined by _
	}{
		{"df -h; df -i", []string{"df_-h", "df_-i"}},
		{"a 'b  c' \"d $x\"   # no comment\n\n  e | f && g || h &", []string{"a_b  c_d $x", "e", "f", "g", "h"}},
		{"a '# b' c#d # 'e", []string{"a_# b_c#d"}},
		{`logs "$(ps -q | head -1)" x`, []string{"ps_-q", "head_-1", "logs_$()_x"}},
		{"kill $(pidof d) >/dev/null 2>&1 && a 2> f b < c", []string{"pidof_d", "kill_$()", "a_b"}},
		{"rev=$(a -b) c", []string{"a_-b", "rev=$()_c"}},
		{"ssh NODE 'a < F | b'; ssh NODE a b", []string{"a", "b", "a_b"}},
		{"ssh NODE timeout 5 a", []string{"a"}},
		{"alias a='b $(c -d) a'", []string{"c_-d", "b_$()_a"}},
	} {
		got, err := commandsIn(c.script)
		if err != nil {
			t.Error(err)
		}
		var joined []string
		for _, words := range got {
			joined = append(joined, strings.Join(words, "_"))
		}
		if !slices.Equal(joined, c.want) {
			t.Errorf("%s: got %q, want %q", c.script, joined, c.want)
		}
	}
	for _, script := range []string{"a 'b", `a "b`, "a $(b", "a `b`", "(a)", "{ a; }", "a)"} {
		if got, err := commandsIn(script); err == nil {
			t.Errorf("%s: got %q, want an error", script, got)
		}
	}
}
