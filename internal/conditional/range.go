package conditional

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// unsatisfiable is a range that no content has: the answer is 416.
const unsatisfiable = "bytes=9223372036854775807-"

// WithRange is a request whose Range is in the words that http.ServeContent understands, or
// that has none if it is to be ignored.
func WithRange(r *http.Request) *http.Request {
	lines := r.Header["Range"]
	if len(lines) == 0 {
		return r
	}
	words := ""
	if r.Method == http.MethodGet { // for no other method a range is defined
		words = byteRanges(lines)
	}
	r = r.Clone(r.Context())
	if r.Header.Del("Range"); words != "" {
		r.Header.Set("Range", words)
	}
	return r
}

// byteRanges reads a Range (RFC 9110, sections 14.1.2 and 14.2). It is empty for one that is
// to be ignored: of a unit other than bytes. http.ServeContent by itself refuses those, knows
// the unit in lower case only, takes the last zero bytes for a part, and numbers that are too
// large for it for no numbers.
func byteRanges(lines []string) string {
	if len(lines) != 1 { // it is no list, so this is no Range
		return ""
	}
	unit, specs, ok := strings.Cut(lines[0], "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return ""
	}
	var all []string
	for spec := range strings.SplitSeq(specs, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" { // RFC 9110, section 5.6.1.2
			continue
		}
		spec, ok := byteRange(spec)
		if !ok {
			return unsatisfiable
		}
		if spec != "" {
			all = append(all, spec)
		}
	}
	if len(all) == 0 {
		return unsatisfiable
	}
	return "bytes=" + strings.Join(all, ",")
}

// byteRange reads one range. It is empty for the last zero bytes, which are nowhere.
func byteRange(spec string) (words string, ok bool) {
	first, last, ok := strings.Cut(spec, "-")
	from, fromOK := bytePosition(first)
	to, toOK := bytePosition(last)
	switch {
	case !ok, first != "" && !fromOK, last != "" && !toOK, first == "" && last == "":
		return "", false
	case first == "" && to == 0:
		return "", true
	case first == "":
		return "-" + strconv.FormatInt(to, 10), true
	case last == "":
		return strconv.FormatInt(from, 10) + "-", true
	default:
		return strconv.FormatInt(from, 10) + "-" + strconv.FormatInt(to, 10), from <= to
	}
}

// bytePosition reads a number. One that is too large is beyond every content.
func bytePosition(text string) (n int64, ok bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return n, true
}
