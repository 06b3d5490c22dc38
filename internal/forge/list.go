package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Page is an answer of a forge, remembered so that it need not send it again.
type Page struct {
	URL      string `json:"url"`
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"` // Last-Modified, if there is no ETag
	Next     string `json:"next,omitempty"`     // the URL of the next page; empty for the last
	Repos    []Repo `json:"repos"`
}

// maxValidator is the longest ETag that is kept, in bytes.
const maxValidator = 200

// remember keeps what the next request for the page can be conditional on (RFC 9110, 13.1).
func (p *Page) remember(h http.Header) {
	if etag := h.Get("Etag"); len(etag) <= maxValidator {
		p.ETag = etag
	}
	if modified := h.Get("Last-Modified"); p.ETag == "" && len(modified) <= maxValidator {
		p.Modified = modified
	}
}

// ask makes a request conditional.
func (p *Page) ask(h http.Header) {
	if p.ETag != "" {
		h.Set("If-None-Match", p.ETag)
	} else if p.Modified != "" {
		h.Set("If-Modified-Since", p.Modified)
	}
}

// mayHaveNext reports whether a page that has not changed may have another one after it by now:
// an ETag is of the body, and the link to the next page is in the header.
func (p *Page) mayHaveNext(perPage int) bool {
	return p.Next == "" && perPage > 0 && len(p.Repos) >= perPage
}

// Listing is what a forge has listed.
type Listing struct {
	Repos       []Repo    // each id once; nil if the listing has failed
	Pages       []Page    // for the next listing, also if this one has failed
	Requests    int       // to the forge
	Same        int       // of them, answers that have not changed
	PausedUntil time.Time // until when the forge wants to be left alone, also if this listing was whole; zero if it does not
}

// List lists a source. known are the pages of the last listing, or nil. The error says what the forge
// did, or is a *Limited; nothing of what the listing lacks then is gone.
func (c *Client) List(ctx context.Context, s Source, known []Page) (Listing, error) {
	defer c.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	l := lister{Client: c, source: s, known: make(map[string]*Page, len(known)), seen: make(map[string]bool)}
	for i, p := range known {
		l.known[p.URL] = &known[i]
	}
	var repos []Repo
	size := 0
	ids := make(map[string]bool)
	for _, first := range apis[s.Kind].first(s) {
		err := l.follow(ctx, first, func(page []Repo) error {
			for _, repo := range page {
				size += repo.size()
				if !ids[repo.ID] {
					ids[repo.ID] = true
					repos = append(repos, repo)
				}
			}
			switch {
			case len(repos) > MaxRepos:
				return errTooMany
			case size > maxListing:
				return errTooBig
			}
			return nil
		})
		if err != nil {
			l.keepOthers(known)
			return l.listing, err
		}
	}
	l.listing.Repos = slices.Clip(repos)
	if repos == nil {
		l.listing.Repos = []Repo{}
	}
	return l.listing, nil
}

// lister is one listing.
type lister struct {
	*Client
	source  Source
	known   map[string]*Page
	seen    map[string]bool // URLs of pages
	listing Listing
}

// follow asks for a page and all that come after it.
func (l *lister) follow(ctx context.Context, at string, found func([]Repo) error) error {
	for at != "" {
		switch {
		case l.seen[at]:
			return errors.New("its pages lead in a circle")
		case len(l.seen) == maxPages:
			return fmt.Errorf("its list has more than %d pages", maxPages)
		}
		l.seen[at] = true
		page, err := l.page(ctx, at)
		if err != nil {
			return err
		}
		l.listing.Pages = append(l.listing.Pages, *page)
		if err := found(page.Repos); err != nil {
			return err
		}
		at = page.Next
	}
	return nil
}

// page asks for one page, and waits if the forge wants that.
func (l *lister) page(ctx context.Context, at string) (*Page, error) {
	known := l.known[at]
	if known != nil && known.mayHaveNext(apis[l.source.Kind].perPage) {
		known = nil
	}
	for pauses := 0; ; pauses++ {
		if err := l.wait(ctx); err != nil {
			return nil, err
		}
		l.listing.Requests++
		page, pause, err := l.get(ctx, l.source, at, known)
		if pause > 0 {
			l.listing.PausedUntil = time.Now().Add(pause)
		}
		if errors.As(err, new(*Limited)) && pauses < maxPauses {
			continue
		}
		if page != nil && page == known {
			l.listing.Same++
		}
		return page, err
	}
}

// wait waits until the forge may be asked again. If that is long, the error is a *Limited.
func (l *lister) wait(ctx context.Context) error {
	left := time.Until(l.listing.PausedUntil)
	switch {
	case left <= 0:
		return nil
	case left > longestWait:
		return &Limited{l.listing.PausedUntil, left}
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keepOthers keeps the pages to which a listing that has failed did not come.
func (l *lister) keepOthers(known []Page) {
	listed := make(map[string]bool, len(l.listing.Pages))
	for _, p := range l.listing.Pages {
		listed[p.URL] = true
	}
	for _, p := range known {
		if !listed[p.URL] {
			l.listing.Pages = append(l.listing.Pages, p)
		}
	}
}
