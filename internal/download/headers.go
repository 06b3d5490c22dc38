package download

// The values of headers that many answers have. They are shared, and must not be changed.
var (
	nosniff          = []string{"nosniff"}
	immutable        = []string{"public, max-age=31536000, immutable"}
	immutablePrivate = []string{"private, max-age=31536000, immutable"}
	revalidated      = []string{"no-cache"}
)

// cacheControl is what caches may do with a file: one that is asked for by its id never changes. A cache
// that several people share must not answer for a server that asks them for a token.
func cacheControl(byID, public bool) []string {
	switch {
	case byID && public:
		return immutable
	case byID:
		return immutablePrivate
	default:
		return revalidated
	}
}

// attachment is the Content-Disposition of a file of that name.
func attachment(name string) []string { return []string{`attachment; filename="` + name + `"`} }
