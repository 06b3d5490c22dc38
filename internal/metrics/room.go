package metrics

// roomMetrics are about what mirrors take on disk that reads have made.
var roomMetrics = []metric{
	{"sould_ondemand_mirrors", gauge, []string{"prefix"}, "Mirrors that reads have made, by the table that has made them.",
		func(now *scrape, to samples) {
			for _, t := range now.tables {
				to.value(float64(t.Mirrors), t.Prefix)
			}
		}},
	{"sould_ondemand_bytes", gauge, []string{"prefix", "content"},
		"What these mirrors take on disk (mirrors), and what those of them that are in the trash take (trash).",
		func(now *scrape, to samples) {
			for _, t := range now.tables {
				to.value(float64(t.Bytes), t.Prefix, "mirrors")
				to.value(float64(t.Trash), t.Prefix, "trash")
			}
		}},
	{"sould_ondemand_quota_bytes", gauge, []string{"prefix"}, "What both together may take. Not without a quota.",
		func(now *scrape, to samples) {
			for _, t := range now.tables {
				if t.Quota > 0 {
					to.value(float64(t.Quota), t.Prefix)
				}
			}
		}},
	{"sould_ondemand_evictions_total", counter, []string{"prefix", "reason"},
		"Mirrors on demand that were removed: because nobody had read them (idle), to make room (room), or to make room and because they were too large (max_size) or could not be read (broken).",
		func(now *scrape, to samples) {
			for _, t := range now.tables {
				for why, n := range t.Evictions {
					to.count(n, t.Prefix, string(why))
				}
			}
		}},
	{"sould_ondemand_refusals_total", counter, []string{"prefix", "reason"},
		"Mirrors on demand that were not made, or got nothing more: the quota was full of mirrors in use (room), or the origin has too much (max_size).",
		func(now *scrape, to samples) {
			for _, t := range now.tables {
				for why, n := range t.Refusals {
					to.count(n, t.Prefix, string(why))
				}
			}
		}},
}
