package conditional

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// unsatisfiable is a Range beyond any content: the answer is 416.
const unsatisfiable = "bytes=9223372036854775807-"

// WithRange returns the request with its Range in the form that http.ServeContent understands, or
// without it if it is to be ignored.
func WithRange(r *http.Request) *http.Request {
	lines := r.Header["Range"]
	if len(lines) == 0 {
		return r
	}
	ranges := ""
	if r.Method == http.MethodGet { // ranges are defined for no other method
		ranges = byteRanges(lines)
	}
	r = r.Clone(r.Context())
	if r.Header.Del("Range"); ranges != "" {
		r.Header.Set("Range", ranges)
	}
	return r
}

// byteRanges rewrites a Range for http.ServeContent (RFC 9110, sections 14.1.2 and 14.2). It returns
// an empty string if the Range is to be ignored because its unit is not bytes. http.ServeContent
// refuses other units, accepts the unit only in lower case, treats the last zero bytes ("-0") as
// a part, and rejects numbers that are too large for an int64.
func byteRanges(lines []string) string {
	if len(lines) != 1 { // Range is no list, and valid only in one line
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

// byteRange rewrites one range. It returns an empty string for the last zero bytes, which no content
// has, and false for an invalid range.
func byteRange(spec string) (normal string, ok bool) {
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

// bytePosition reads a number. One that is too large becomes the largest one, which is beyond every
// content.
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
