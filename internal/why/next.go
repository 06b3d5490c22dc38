package why

import (
	"github.com/reconquest/sould/internal/units"
)

// next says what is being done, and when something will be.
func (f Facts) next() (all []string) {
	for _, run := range f.Runs {
		doing := run.Doing
		if doing == "" {
			doing = "it has just begun"
		}
		all = append(all, "A pull runs since "+f.when(run.Began)+": "+sentence(doing))
	}
	if f.Storage != "" {
		return append(all, "The server looks for its storage again with each request, and every half a minute without one.")
	}
	if f.Exists {
		all = append(all, f.nextPull()...)
		all = append(all, f.nextPoll()...)
		all = append(all, f.Demand.next(f)...)
	} else if len(f.Runs) == 0 {
		all = append(all, f.nextMaking()...)
	}
	for _, s := range f.Servers {
		if words := f.nextFor(s); words != "" {
			all = append(all, words)
		}
	}
	if f.Exists && f.CheckEvery > 0 && f.Damage == "" && f.Unreadable == "" {
		switch due := f.Checked.Add(f.CheckEvery); {
		case f.Checked.IsZero():
			all = append(all, "All its objects are read for the first time when its turn comes, within "+units.FormatSpan(f.CheckEvery)+".")
		case due.After(f.Now):
			all = append(all, "All its objects were read on "+f.when(f.Checked)+", and are again on "+f.when(due)+".")
		default:
			all = append(all, "All its objects were read on "+f.when(f.Checked)+", and are again when its turn comes.")
		}
	}
	return all
}

// nextMaking says how a mirror is made that is not there.
func (f Facts) nextMaking() []string {
	switch {
	case f.Outcome == Failed && f.OnRead:
		return []string{"The next POST or read of it tries again."}
	case f.Outcome == Failed:
		return []string{"The next POST tries again."}
	case f.OnRead:
		return []string{"The first read of it makes it, from " + f.Origin + "."}
	default:
		return nil
	}
}

// nextPoll says when the origin is looked at without a request.
func (f Facts) nextPoll() (all []string) {
	if f.LeftAlone.After(f.Now) {
		all = append(all, "The host of its origin has asked to be left alone: reads and the poll do so until "+f.when(f.LeftAlone)+".")
	}
	switch every := "about every " + units.FormatSpan(f.PollEvery); {
	case f.PollEvery == 0:
	case f.NextPoll.After(f.Now):
		all = append(all, "Its origin is looked at "+every+" without a request, the next time on "+f.when(f.NextPoll)+".")
	default:
		all = append(all, "Its origin is looked at "+every+" without a request, and now as soon as its turn comes.")
	}
	return all
}

// nextPull says when the mirror is pulled again.
func (f Facts) nextPull() []string {
	waits := f.NextTry.After(f.Now)
	switch {
	case f.Damage != "" && f.NextRebuild.After(f.Now):
		return []string{"It is rebuilt from its origin, or else from another server, with the next request; without one it is tried again after " + f.when(f.NextRebuild) + "."}
	case f.Damage != "", f.Unreadable != "":
		return []string{"It is rebuilt from its origin, or else from another server, with the next request."}
	case f.Origin == "":
		return []string{"It is not pulled, since its origin is not known."}
	case f.OriginRefused != "":
		return []string{"It is not pulled, but served as it is."}
	case len(f.Runs) > 0:
		return nil
	case f.LeftAlone.After(f.Now):
		return []string{"The next POST asks its origin at once."}
	case f.Outcome == Failed && waits:
		return []string{"The next POST tries again at once. The next read does as well, but not before " + f.when(f.NextTry) + "."}
	case f.Outcome == Failed:
		return []string{"The next POST or read of it tries again."}
	case !f.Fresh:
		return []string{"The next read of it pulls first, because the server has not pulled it since it started."}
	case !f.NextLook.IsZero() && !f.NextLook.After(f.Now):
		return []string{"It is pulled with the next POST, and with the next read."}
	case !f.NextLook.IsZero():
		return []string{"It is pulled with the next POST, and with the next read after " + f.when(f.NextLook) + "."}
	default:
		return []string{"It is pulled with the next POST."}
	}
}

// nextFor says what is done about another server that has something else.
func (f Facts) nextFor(s Server) string {
	what := ""
	switch {
	case s.Slave && f.Exists && !f.Pulled.IsZero() && (s.Relation == Behind || s.Relation == Missing):
		what = "The slave " + s.Address + " is asked to pull it"
	case s.Slave && s.Relation == Removed:
		what = "The slave " + s.Address + " is asked to remove it"
	case s.Slave && f.Exists && s.Relation == Ahead:
		what = "This server pulls it, as the slave " + s.Address + " did,"
	case s.Relation == Ahead && !f.Exists:
		what = "This server makes it, as " + s.Address + " has it,"
	case s.Relation == Ahead:
		return "If the origin cannot be reached, the next pull takes what " + s.Address + " has."
	case s.Slave && s.Relation == Unasked && s.Error != "" && f.Exists && !f.Pulled.IsZero():
		return f.nextForAbsent(s)
	default:
		return ""
	}
	switch {
	case f.Repair == 0:
		return "Nothing is done about what " + s.Address + " has, because the key repair is 0."
	case s.NextTry.After(f.Now):
		return what + " on " + f.when(s.NextTry) + ", since the last try did not help."
	case s.Next.After(f.Now):
		return what + " with the next comparison, on " + f.when(s.Next) + "."
	default:
		return what + " with the next comparison, within " + units.FormatSpan(f.Repair) + "."
	}
}

// nextForAbsent says how a slave that cannot be asked gets what it may miss.
func (f Facts) nextForAbsent(s Server) string {
	if f.Repair == 0 {
		return "What the slave " + s.Address + " misses, it gets with the next POST, because the key repair is 0."
	}
	return "The slave " + s.Address + " is compared again until it answers, at least every " + units.FormatSpan(f.Repair) +
		": what it has missed, it pulls as soon as it is back."
}
