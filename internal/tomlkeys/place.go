package tomlkeys

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// place is where a text says something: a key, an array's table, or a key in one of these.
type place struct {
	table string // or the key itself, where there is no table
	index int    // of the table in an array; noIndex for none
	key   string // in the table; empty for the table itself
}

const noIndex = -1

// String is the place as people write it: "listen", "ondemand[2]", "ondemand[2].prefix".
func (p place) String() string {
	s := p.table
	if p.index != noIndex {
		s = fmt.Sprintf("%s[%d]", s, p.index+1)
	}
	if p.key != "" {
		s += "." + p.key
	}
	return s
}

// isIn reports whether the values of a text have something at the place.
func (p place) isIn(values map[string]any) bool {
	value, ok := values[p.table]
	if p.index != noIndex {
		array, _ := value.([]map[string]any)
		if ok = p.index < len(array); ok {
			value = array[p.index]
		}
	}
	if ok && p.key != "" {
		table, _ := value.(map[string]any)
		_, ok = table[p.key]
	}
	return ok
}

// part is what the first lines of a text say, where these are valid by themselves.
type part struct {
	lines  int // how many
	values map[string]any
}

// parts decodes the first line of a text, the first two lines, and so on.
func parts(lines []string) (all []part) {
	text := ""
	for i, line := range lines {
		text += line
		if strings.TrimSpace(line) == "" {
			continue
		}
		var values map[string]any
		if _, err := toml.Decode(text, &values); err == nil {
			all = append(all, part{i + 1, values})
		}
	}
	return all
}

// line finds the line in which the text says what is at a place; 0 if it does not. The TOML library
// does not tell, and a search for the key's name could find it in a string of several lines. So the
// place begins after the longest part of the text that is valid and does not contain it.
func (t *Text) line(p place) int {
	lines := strings.SplitAfter(t.text, "\n")
	if t.parts == nil {
		t.parts = parts(lines)
	}
	start := 1
	for _, part := range t.parts {
		if p.isIn(part.values) {
			for start < part.lines && isBlank(lines[start-1]) {
				start++
			}
			return start
		}
		start = part.lines + 1
	}
	return 0
}

func isBlank(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}
