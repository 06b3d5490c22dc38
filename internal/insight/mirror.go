package insight

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/page"
	"github.com/reconquest/sould/internal/storage"
	"github.com/reconquest/sould/internal/why"
)

// downloads are the formats that a page offers.
var downloads = []string{"tar", "tar.gz", "tar.zst", "zip", "bundle"}

// refDownloads are those that it offers of each ref.
var refDownloads = []string{"tar.gz", "zip"}

// Mirror returns the page of a mirror, or of a name that no mirror has. facts are what explains it,
// and from is the index of the first ref that is shown.
func (i *Insight) Mirror(opts *Options, frame page.Frame, name storage.Name, facts why.Facts, from int) *page.Mirror {
	frame.Role, frame.Release = opts.Role, opts.Release
	p := &page.Mirror{
		Frame: frame, Name: name.String(), Answer: why.Explain(facts), WhyLink: why.Link(facts.Base, name.String()),
		Clone: facts.Base + "/" + name.String(),
	}
	for _, pull := range slices.Backward(i.Store.Journal(name).Pulls) {
		p.Pulls = append(p.Pulls, pullRow(pull))
	}
	m, err := i.Store.Get(name)
	if err != nil || facts.Storage != "" {
		return p
	}
	snap := m.Snapshot()
	p.Exists, p.Origin, p.From = true, originOf(snap.Origin), shown(snap.From)
	p.Branch, p.Revision, p.Pulled = shown(snap.Head.Ref), snap.Head.ID, snap.Pulled
	if snap.Head.ID != "" {
		for _, format := range downloads {
			p.Downloads = append(p.Downloads, page.Link{Label: format, URL: "/" + name.String() + "?format=" + format})
		}
	}
	addRefs(p, name, snap, from)
	addRetained(p, snap)
	return p
}

// addRefs adds the refs that fit.
func addRefs(p *page.Mirror, name storage.Name, snap *mirror.Snapshot, from int) {
	p.Total = len(snap.Refs)
	from = min(from, max(p.Total-1, 0))
	left := room{maxRoom}
	for _, ref := range snap.Refs[min(from, p.Total):] {
		row := page.Ref{Name: shown(ref.Name), ID: shortID(ref.ID), Default: ref.Name == snap.Head.Ref}
		words := []string{row.Name, row.Name, row.Name}
		if len(ref.Name) <= maxShown {
			for _, format := range refDownloads {
				one := page.Link{Label: format, URL: "/" + name.String() + "?" + url.Values{"ref": {ref.Name}, "format": {format}}.Encode()}
				row.Downloads, words = append(row.Downloads, one), append(words, one.URL)
			}
		}
		if len(p.Refs) == maxRefRows || !left.take(words...) {
			break
		}
		p.Refs = append(p.Refs, row)
	}
	p.From1, p.To = from+1, from+len(p.Refs)
	path := "/x/mirror/" + name.String()
	if from > 0 {
		at := ""
		if first := from - maxRefRows; first > 0 {
			at = strconv.Itoa(first)
		}
		p.Previous = link(path, "from", at) + "#refs-title"
	}
	if p.To < p.Total {
		p.Next = link(path, "from", strconv.Itoa(p.To)) + "#refs-title"
	}
}

// addRetained adds the refs that were lost last.
func addRetained(p *page.Mirror, snap *mirror.Snapshot) {
	p.RetainedTotal = len(snap.Retained)
	for _, r := range slices.Backward(snap.Retained) {
		if len(p.Retained) == maxKeptRows {
			break
		}
		p.Retained = append(p.Retained, page.Retained{Name: shown(r.Ref), ID: r.ID, At: r.At})
	}
}

// pullRow is a pull as the page shows it.
func pullRow(pull mirror.Pull) page.Pull {
	row := page.Pull{
		Began: pull.Began, First: pull.First, Times: pull.Times, Took: pull.Took, By: shown(pull.By), Level: why.Good,
	}
	switch {
	case pull.Error != "":
		row.Level, row.Result = why.Bad, errtext.Clip(pull.Error, maxWords)
	case pull.Changed == 0:
		row.Result = "nothing new"
	case pull.Changed == 1:
		row.Result = "1 ref changed"
	default:
		row.Result = fmt.Sprintf("%d refs changed", pull.Changed)
	}
	if pull.From != "" {
		row.Result += ", from the peer " + shown(pull.From)
	}
	return row
}
