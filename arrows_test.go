package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows are the packages below internal/, each with those of them that it may import.
// package main may import all of them, and none of them imports it.
var arrows = map[string]string{
	"backoff":      "",
	"changes":      "",
	"coalesce":     "",
	"conditional":  "",
	"durable":      "",
	"keylock":      "",
	"pktline":      "",
	"limiter":      "",
	"spool":        "",
	"tally":        "",
	"prefetch":     "",
	"process":      "",
	"units":        "",
	"tomlkeys":     "units",
	"ratelimit":    "",
	"lsrefs":       "pktline ratelimit",
	"credential":   "coalesce limiter",
	"publicnet":    "",
	"git":          "credential durable pktline lsrefs publicnet ratelimit units",
	"systemd":      "",
	"gittest":      "git",
	"errtext":      "git",
	"conn":         "limiter",
	"logging":      "errtext git",
	"refs":         "git",
	"origin":       "git errtext",
	"access":       "origin errtext units",
	"storage":      "git refs durable errtext",
	"smarthttp":    "conditional conn limiter storage errtext git pktline",
	"uploadpack":   "conn errtext git limiter mirror pack pktline refs respond smarthttp spool storage",
	"protocol":     "git refs origin storage errtext units",
	"respond":      "conditional conn mirror protocol",
	"requestlog":   "errtext protocol units",
	"mirror":       "git refs origin storage changes coalesce limiter keylock backoff durable errtext spool units tally",
	"download":     "archive conditional conn git limiter mirror pack respond spool",
	"ondemand":     "conn poll tomlkeys mirror origin storage durable limiter git publicnet errtext tally units",
	"forge":        "access errtext ratelimit",
	"discover":     "tomlkeys access changes durable forge limiter mirror origin storage",
	"manifest":     "coalesce git mirror storage",
	"archive":      "mirror storage spool limiter git units prefetch errtext tally",
	"pack":         "archive mirror smarthttp spool limiter git storage prefetch tally",
	"housekeeping": "mirror storage backoff git units",
	"poll":         "mirror origin storage backoff limiter units",
	"cluster":      "changes coalesce mirror protocol access refs origin storage backoff errtext git units tally",
	"postform":     "conn errtext limiter protocol",
	"propagate":    "cluster conditional conn limiter logging mirror protocol respond storage units",
	"status":       "archive cluster errtext mirror pack protocol refs storage units changes coalesce discover",
	"metrics":      "archive cluster coalesce conn credential limiter mirror pack poll spool storage tally webhook ondemand notify discover",
	"notify":       "access backoff cluster durable errtext git mirror origin refs storage units ratelimit",
	"why":          "units",
	"webhook":      "tomlkeys access coalesce errtext limiter mirror origin storage units",
	"page":         "units why",
	"insight":      "access conditional respond units cluster poll mirror ondemand notify protocol origin storage errtext page why limiter discover",
}

// outside are packages of others that one place alone may import.
var outside = map[string]string{
	"github.com/BurntSushi/toml":                  "internal/tomlkeys/ internal/status/toml.go",
	"github.com/docopt/docopt-go":                 "main.go",
	"github.com/reconquest/hierr-go":              "internal/errtext/",
	"github.com/coreos/go-systemd/v22/daemon":     "internal/systemd/",
	"github.com/coreos/go-systemd/v22/activation": "internal/systemd/",
	"github.com/coreos/go-systemd/v22/journal":    "internal/logging/",
	"github.com/dunglas/httpsfv":                  "internal/conditional/",
	"os/exec":                                     "internal/git/",
	"github.com/prometheus/client_golang":         "internal/metrics/metrics.go",
	"github.com/prometheus/common":                "internal/metrics/metrics.go",
	"github.com/chromedp/chromedp":                "tests/",
	"html/template":                               "internal/page/ internal/insight/",
}

// TestArrows keeps the rooms of the house apart: who may import what.
func TestArrows(t *testing.T) {
	const internal = "github.com/reconquest/sould/internal/"
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (path == "tests" || path == "bench" || path == "packaging") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			for pkg, places := range outside {
				allowed := slices.ContainsFunc(strings.Fields(places), func(place string) bool { return strings.HasPrefix(path, place) })
				if (imported == pkg || strings.HasPrefix(imported, pkg+"/")) && !allowed {
					t.Errorf("%s imports %s, which is for %s alone", path, imported, places)
				}
			}
			to, ours := strings.CutPrefix(imported, internal)
			if room := filepath.Dir(path); ours && room != "." {
				checkArrow(t, path, filepath.Base(room), to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkArrow(t *testing.T, path, from, to string) {
	allowed, known := arrows[from]
	if !known {
		t.Errorf("%s: the package %s has no row in the table of arrows", path, from)
	}
	if !slices.Contains(strings.Fields(allowed), to) {
		t.Errorf("%s: the package %s may not import %s", path, from, to)
	}
}
