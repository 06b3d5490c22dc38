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

// line finds the line in which the text says what is at the place; 0 if it does not. The TOML library
// does not tell, and a search for the key's name could find it in a string of several lines. So line
// decodes the first line, the first two lines, and so on: the place begins after the longest part that
// is valid and does not contain it.
func (p place) line(text string) int {
	start := 1
	lines := strings.SplitAfter(text, "\n")
	part := ""
	for i, line := range lines {
		part += line
		var values map[string]any
		if _, err := toml.Decode(part, &values); err != nil {
			continue
		}
		if p.isIn(values) {
			for start <= i && isBlank(lines[start-1]) {
				start++
			}
			return start
		}
		start = i + 2
	}
	return 0
}

func isBlank(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}
