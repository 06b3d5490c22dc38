package discover

import (
	"context"
	"fmt"
	"io"

	"github.com/reconquest/sould/internal/forge"
)

// Preview writes what the tables would have mirrored, without mirroring: a line for each name, and comments
// with the counts. It reads no state, so that it may run beside a server. The error says which forges
// could not be listed.
func Preview(ctx context.Context, o *Options, w io.Writer) error {
	client, err := forge.NewClient(o.CAFile)
	if err != nil {
		return err
	}
	claimed := make(map[string]bool)
	var failed []string
	for _, t := range o.Tables {
		fmt.Fprintf(w, "# %s (%s)\n", t, t.Kind)
		source, err := t.withToken()
		var listing forge.Listing
		if err == nil {
			listing, err = client.List(ctx, source, nil)
		}
		if err != nil {
			fmt.Fprintf(w, "# can't list it: %s\n\n", err)
			failed = append(failed, t.String())
			continue
		}
		out, n := make(tally), 0
		names := make(map[string]bool)
		for _, repo := range listing.Repos {
			c, why := t.choose(repo, o.Origins)
			switch {
			case why != "":
			case claimed[c.Origin.String()]:
				why = Elsewhere
			case names[c.Name.String()]:
				why = Taken
			}
			if why != "" {
				out.add(why, repo.Path)
				continue
			}
			claimed[c.Origin.String()], names[c.Name.String()] = true, true
			n++
			fmt.Fprintf(w, "%s <- %s\n", c.Name, c.Origin)
		}
		fmt.Fprintf(w, "# %d found, %d would be mirrored", len(listing.Repos), n)
		if len(out) > 0 {
			fmt.Fprintf(w, "; left out: %s", out.text(true))
		}
		fmt.Fprint(w, "\n\n")
	}
	if failed != nil {
		return fmt.Errorf("can't list %d of %d forges: %v", len(failed), len(o.Tables), failed)
	}
	return nil
}
