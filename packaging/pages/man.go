package main

import (
	"fmt"
	"strings"
)

// page is a manual page in the making (man(7)).
type page struct {
	strings.Builder
	headed bool // nothing stands below the latest heading yet
}

// newPage begins a page.
func newPage(title, section, version, date string) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %s \"%s\" \"%s\" \"Mirrors of git repositories\"\n", title, section, date, escape("sould "+version))
	return p
}

// escape makes text that roff shows as it is.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// heading writes a heading.
func (p *page) heading(name, argument string) {
	p.headed = true
	fmt.Fprintf(p, ".%s \"%s\"\n", name, strings.ReplaceAll(escape(argument), `"`, `\(dq`))
}

// text writes lines of prose.
func (p *page) text(lines ...string) {
	p.headed = false
	for _, line := range lines {
		p.WriteString(escape(strings.TrimSpace(line)) + "\n")
	}
}

// literal writes lines as they are.
func (p *page) literal(lines []string) {
	p.WriteString(".nf\n")
	for _, line := range lines {
		p.WriteString(escape(line) + "\n")
	}
	p.WriteString(".fi\n")
}

// item writes the tags of an item; text follows.
func (p *page) item(tags ...string) {
	for i, tag := range tags {
		p.WriteString([]string{".TP\n", ".TQ\n"}[min(i, 1)] + `\fB` + escape(tag) + "\\fR\n")
	}
}

// programPage is sould(1).
func programPage(u usage, version, date string) string {
	p := newPage("SOULD", "1", version, date)
	p.heading("SH", "NAME")
	p.text("sould - mirrors of git repositories, as tarballs and as clones")
	p.heading("SH", "SYNOPSIS")
	p.literal(u.synopsis)
	p.heading("SH", "DESCRIPTION")
	p.text(u.about)
	p.WriteString(".PP\n")
	p.text("It is told of changes by a POST, pulls, and has all servers of its cluster pull.",
		"What the requests are and what they answer is in docs/reference.md, below /usr/share/doc/sould.")
	p.heading("SH", "OPTIONS")
	for _, o := range u.options {
		p.item(strings.TrimSpace(strings.Join(o.names, ", ") + " " + o.argument))
		p.text(o.about)
	}
	p.heading("SH", "EXIT STATUS")
	for _, row := range [][2]string{
		{"0", "It ended after SIGTERM or SIGINT, or had nothing to complain of."},
		{"1", "It cannot start or run; the last line on standard error says why."},
		{"2", "Wrong usage."},
	} {
		p.item(row[0])
		p.text(row[1])
	}
	p.heading("SH", "SIGNALS")
	for _, row := range [][2]string{
		{"SIGHUP", "Reload the configuration: all of it or, if anything is wrong with it, nothing."},
		{"SIGTERM, SIGINT", "Let answers in flight finish, for 30 seconds at most, and end. A second one ends it at once."},
	} {
		p.item(row[0])
		p.text(row[1])
	}
	p.heading("SH", "ENVIRONMENT")
	p.item("SOULD_...")
	p.text("The keys of the configuration; see", "sould.conf(5).")
	p.item("NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS, STATE_DIRECTORY")
	p.text("What a service manager says, as", "systemd(1)", "does.")
	p.heading("SH", "FILES")
	p.item("/etc/sould.conf")
	p.text("The configuration, if no other is named.")
	p.heading("SH", "SEE ALSO")
	p.text("sould.conf(5), git(1)")
	return p.String()
}

// configPage is sould.conf(5): the example, whose comments are the manual.
func configPage(example, version, date string) string {
	p := newPage("SOULD.CONF", "5", version, date)
	p.heading("SH", "NAME")
	p.text("sould.conf - the configuration of sould(1)")
	p.heading("SH", "DESCRIPTION")
	first := true
	for block := range strings.SplitSeq(example, "\n\n") {
		b := parseBlock(block)
		if b.rule && first {
			p.heading("SH", "KEYS")
			first = false
		}
		if b.rule {
			title, rest, _ := strings.Cut(b.paragraphs[0][0], ". ")
			p.heading("SS", strings.TrimSuffix(title, "."))
			if b.paragraphs[0][0] = rest; rest == "" {
				b.paragraphs[0] = b.paragraphs[0][1:]
			}
		}
		p.item(b.keys...)
		b.write(p)
	}
	p.heading("SH", "SEE ALSO")
	p.text("sould(1)")
	return p.String()
}

// block is a part of the example between empty lines.
type block struct {
	rule       bool // a new section begins
	paragraphs [][]string
	keys       []string // lines that are keys with their defaults
}

func parseBlock(text string) (b block) {
	b.paragraphs = [][]string{nil}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		words := strings.TrimPrefix(line, "#")
		last := len(b.paragraphs) - 1
		switch {
		case strings.HasPrefix(words, " ---"):
			b.rule = true
		case words == "":
			b.paragraphs = append(b.paragraphs, nil)
		case words[0] == ' ':
			b.paragraphs[last] = append(b.paragraphs[last], words[1:])
		default:
			b.keys = append(b.keys, words)
		}
	}
	return b
}

// write writes the prose of a block; lines that are indented are literal.
func (b block) write(p *page) {
	written := false
	for _, lines := range b.paragraphs {
		if len(lines) == 0 {
			continue
		}
		if written && len(b.keys) > 0 {
			p.WriteString(".IP\n")
		} else if len(b.keys) == 0 && !p.headed {
			p.WriteString(".PP\n")
		}
		written = true
		for len(lines) > 0 {
			n := 0
			for n < len(lines) && strings.HasPrefix(lines[n], " ") {
				n++
			}
			if n > 0 {
				p.literal(lines[:n])
				lines = lines[n:]
				continue
			}
			p.text(lines[0])
			lines = lines[1:]
		}
	}
}
