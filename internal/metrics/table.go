package metrics

import (
	"runtime"
	"slices"

	"github.com/reconquest/sould/internal/discover"
	"github.com/reconquest/sould/internal/mirror"
)

// kind is a kind of metric, in Prometheus' words.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
	summary   kind = "summary" // a sum and a count, without quantiles
)

// metric is what is measured under one name, and how it is read. docs/metrics.md explains each.
type metric struct {
	name   string
	kind   kind
	labels []string
	help   string
	read   func(now *scrape, to samples)
}

// table has all metrics of sould's own.
var table = slices.Concat(serverMetrics, mirrorMetrics, discoveryMetrics, pullMetrics, pollMetrics, clusterMetrics, notifyMetrics, servedMetrics, loadMetrics, onDemandMetrics, roomMetrics)

var serverMetrics = []metric{
	{"sould_build_info", gauge, []string{"version", "go_version", "git_version"},
		"The versions of sould, of the Go that it was built with, and of the git that it has found at its start; always 1.",
		func(now *scrape, to samples) { to.value(1, now.parts.Release, runtime.Version(), now.parts.Git) }},
	{"sould_ready", gauge, nil, "Whether the first look at the storage is over (1) or not (0).",
		func(now *scrape, to samples) { to.value(truth(now.ready)) }},
	{"sould_storage_usable", gauge, nil, "Whether the storage is there and can be written (1) or not (0).",
		func(now *scrape, to samples) { to.value(truth(now.storageUsable)) }},
	{"sould_rejected_requests_total", counter, []string{"reason"},
		"Requests that were answered with an error, by its reason.",
		func(now *scrape, to samples) {
			for reason, n := range now.parts.Rejected {
				to.count(n.Load(), reason)
			}
		}},
	{"sould_webhook_deliveries_total", counter, []string{"hook", "result"},
		"Deliveries of webhooks to the hooks of the configuration, by what became of them.",
		func(now *scrape, to samples) {
			for of, n := range now.parts.Deliveries.Stats() {
				to.count(n, of.Hook, string(of.Result))
			}
		}},
	{"sould_children_running", gauge, nil, "Git processes that sould has started and that run.",
		func(now *scrape, to samples) { to.value(float64(now.childrenRunning)) }},
	{"sould_children_started_total", counter, nil, "Git processes that sould has started.",
		func(now *scrape, to samples) { to.count(now.childrenStarted) }},
}

var discoveryMetrics = []metric{
	{"sould_discovery_last_success_timestamp_seconds", gauge, []string{"table"},
		"When the latest round of a table of discovery ended whose listing was whole; absent for none.",
		eachDiscovery(func(s discover.Stats, to samples) { to.time(s.Done, s.Table) })},
	{"sould_discovery_failing", gauge, []string{"table"}, "Whether the latest listing of the forge has failed (1) or not (0).",
		eachDiscovery(func(s discover.Stats, to samples) { to.value(truth(s.Error != ""), s.Table) })},
	{"sould_discovery_repositories", gauge, []string{"table", "state"},
		"Repositories of the latest whole listing: found, wanted, failed (without a mirror yet); and gone, those that are not listed any more and whose mirrors are kept.",
		eachDiscovery(func(s discover.Stats, to samples) {
			for state, n := range map[string]int{"found": s.Found, "wanted": s.Wanted, "failed": s.Failed, "gone": s.Gone} {
				to.value(float64(n), s.Table, state)
			}
		})},
	{"sould_discovery_mirrors_total", counter, []string{"table", "action"}, "Mirrors that discovery has made, or moved because their repository was renamed.",
		eachDiscovery(func(s discover.Stats, to samples) {
			to.count(s.Made, s.Table, "made")
			to.count(s.Moved, s.Table, "moved")
		})},
	{"sould_discovery_requests_total", counter, []string{"table"}, "Requests to the forge.",
		eachDiscovery(func(s discover.Stats, to samples) { to.count(s.Requests, s.Table) })},
}

// eachDiscovery reads each table of discovery.
func eachDiscovery(read func(s discover.Stats, to samples)) func(*scrape, samples) {
	return func(now *scrape, to samples) {
		for _, s := range now.discoveries {
			read(s, to)
		}
	}
}

var mirrorMetrics = []metric{
	{"sould_mirrors", gauge, []string{"state"}, "Mirrors by how their latest pull has ended.",
		func(now *scrape, to samples) {
			for state, n := range now.all.states {
				to.value(float64(n), string(state))
			}
		}},
	{"sould_mirrors_refs", gauge, nil, "Refs of all mirrors together.",
		func(now *scrape, to samples) { to.value(float64(now.all.refs)) }},
	{"sould_mirrors_size_bytes", gauge, nil, "Size of the packs of all mirrors together, and of the packs' indexes.",
		func(now *scrape, to samples) { to.value(float64(now.all.size)) }},
	{"sould_mirrors_damaged", gauge, nil, "Mirrors that are known to be damaged.",
		func(now *scrape, to samples) { to.value(float64(now.all.damaged)) }},
	{"sould_mirrors_oldest_success_timestamp_seconds", gauge, nil,
		"When that mirror was last pulled successfully for which this is longest ago.",
		func(now *scrape, to samples) { to.time(now.all.oldest) }},
	{"sould_failed_mirrors_oldest_success_timestamp_seconds", gauge, nil,
		"The same among the mirrors whose latest pull has failed.",
		func(now *scrape, to samples) { to.time(now.all.oldestFailed) }},
	{"sould_mirror_last_success_timestamp_seconds", gauge, []string{"mirror"},
		"When the mirror was last pulled successfully. Not with more mirrors than metrics_mirrors.",
		func(now *scrape, to samples) {
			now.eachMirror(func(name string, one *oneMirror) { to.time(one.pulled, name) })
		}},
	{"sould_mirror_state", gauge, []string{"mirror", "state"},
		"How the latest pull of the mirror has ended; always 1. Not with more mirrors than metrics_mirrors.",
		func(now *scrape, to samples) {
			now.eachMirror(func(name string, one *oneMirror) { to.value(1, name, string(one.state)) })
		}},
	{"sould_mirror_refs", gauge, []string{"mirror"},
		"Refs of the mirror. Not with more mirrors than metrics_mirrors.",
		func(now *scrape, to samples) {
			now.eachMirror(func(name string, one *oneMirror) { to.value(float64(one.refs), name) })
		}},
	{"sould_mirror_size_bytes", gauge, []string{"mirror"},
		"Size of the mirror's packs and of their indexes. Not with more mirrors than metrics_mirrors.",
		func(now *scrape, to samples) {
			now.eachMirror(func(name string, one *oneMirror) { to.value(float64(one.size), name) })
		}},
	{"sould_damage_found_total", counter, nil, "How often damage of a mirror was found.",
		func(now *scrape, to samples) { to.count(now.store.Damaged) }},
	{"sould_mirrors_rebuilt_total", counter, nil, "Damaged mirrors that were rebuilt.",
		func(now *scrape, to samples) { to.count(now.store.Rebuilt) }},
}

var pullMetrics = []metric{
	{"sould_pull_duration_seconds", histogram, []string{"result"},
		"How long pulls took, the time for which they waited included.",
		func(now *scrape, to samples) {
			to.durations(now.store.Changed, "changed")
			to.durations(now.store.Unchanged, "unchanged")
			to.durations(now.store.Failed, "failed")
		}},
	{"sould_credential_commands_total", counter, []string{"result"},
		"Credential commands that were asked for credentials, by whether they gave some.",
		func(now *scrape, to samples) {
			to.count(now.logins.Given, "success")
			to.count(now.logins.Failed, "failed")
		}},
	{"sould_pulls_running", gauge, nil, "Mirrors that are being pulled.",
		func(now *scrape, to samples) { to.value(float64(now.pulling)) }},
}

var pollMetrics = []metric{
	{"sould_polled_mirrors", gauge, nil, "Mirrors whose origins are looked at without a request.",
		func(now *scrape, to samples) { to.value(float64(now.poll.Mirrors)) }},
	{"sould_polls_total", counter, []string{"result"},
		"Looks at origins without a request: that have changed the mirror, have found nothing new, and have failed.",
		func(now *scrape, to samples) {
			to.count(now.poll.Changed, "changed")
			to.count(now.poll.Unchanged, "unchanged")
			to.count(now.poll.Failed, "failed")
		}},
	{"sould_polls_late_seconds", gauge, nil, "For how long the look waits that is overdue the longest.",
		func(now *scrape, to samples) { to.value(now.poll.Late.Seconds()) }},
	{"sould_unannounced_changes_total", counter, nil,
		"Changes that a look has found, and that the hook of the mirror had not announced.",
		func(now *scrape, to samples) { to.count(now.poll.Unannounced) }},
	{"sould_mirrors_hook_broken", gauge, nil, "Mirrors whose hook seems broken.",
		func(now *scrape, to samples) { to.value(float64(now.all.hookBroken)) }},
	{"sould_origin_hosts_left_alone", gauge, []string{"reason"},
		"Hosts of origins that have asked to be left alone (asked), or do not answer looks (down).",
		func(now *scrape, to samples) {
			to.value(float64(now.store.PausedHosts), "asked")
			to.value(float64(now.poll.DownHosts), "down")
		}},
}

var onDemandMetrics = []metric{
	{"sould_first_read_duration_seconds", histogram, []string{"result"},
		"How long it took to make mirrors for their first readers, without the time in line.",
		func(now *scrape, to samples) {
			to.durations(now.maker.Made, "made")
			to.durations(now.maker.Failed, "failed")
		}},
	{"sould_first_reads_shared_total", counter, []string{"with"},
		"First reads that needed no run of their own.",
		func(now *scrape, to samples) {
			to.count(now.maker.Joined, "run")
			to.count(now.maker.Remembered, "failure")
		}},
}

var clusterMetrics = []metric{
	{"sould_propagation_duration_seconds", summary, []string{"slave", "result"},
		"How long slaves took for what this server has passed on to them.",
		func(now *scrape, to samples) {
			for _, p := range shown(now.parts.Client.Propagations()) {
				to.durations(p.Success, p.Slave.String(), "success")
				to.durations(p.Failed, p.Slave.String(), "failed")
				to.durations(p.Unfinished, p.Slave.String(), "unfinished")
			}
		}},
	{"sould_server_reachable", gauge, []string{"server", "role"},
		"Whether the other server has answered the latest comparison (1) or not (0).",
		func(now *scrape, to samples) {
			for _, c := range now.comparisons {
				to.value(truth(c.Reachable), c.Server.String(), role(c))
			}
		}},
	{"sould_server_lag_seconds", gauge, []string{"server", "role"},
		"Since when the other server differs from this one, or cannot be compared; 0 if it does not differ.",
		func(now *scrape, to samples) {
			for _, c := range now.comparisons {
				to.value(c.Lag.Seconds(), c.Server.String(), role(c))
			}
		}},
	{"sould_server_differences", gauge, []string{"server", "role", "difference"},
		"Mirrors that the latest comparison has found to be different on the other server.",
		func(now *scrape, to samples) {
			for _, c := range now.comparisons {
				to.value(float64(c.Missing), c.Server.String(), role(c), "missing")
				if c.IsSlave {
					to.value(float64(c.Behind), c.Server.String(), role(c), "behind")
					to.value(float64(c.Ahead), c.Server.String(), role(c), "ahead")
				}
			}
		}},
	{"sould_repairs_total", counter, []string{"server", "role", "result"},
		"Differences from the other server that were removed, and tries to do so that have failed.",
		func(now *scrape, to samples) {
			for _, c := range now.comparisons {
				to.count(c.Repaired, c.Server.String(), role(c), "success")
				to.count(c.Unrepaired, c.Server.String(), role(c), "failed")
			}
		}},
}

var servedMetrics = []metric{
	{"sould_archives_total", counter, []string{"result"},
		"Archives that clients have asked for: there or being made (hit), made for them (miss), or theirs already (unmodified).",
		func(now *scrape, to samples) {
			to.count(now.archives.Hits, "hit")
			to.count(now.archives.Misses, "miss")
			to.count(now.parts.Sent.Unmodified.Load(), "unmodified")
		}},
	{"sould_archives_ahead_total", counter, nil, "Archives that were made before somebody asked.",
		func(now *scrape, to samples) { to.count(now.archives.Ahead) }},
	{"sould_archives_failed_total", counter, nil, "Archives that could not be made.",
		func(now *scrape, to samples) { to.count(now.archives.Failed) }},
	{"sould_archive_making_duration_seconds", histogram, nil, "How long it took to make archives.",
		func(now *scrape, to samples) { to.durations(now.archives.Making) }},
	{"sould_archive_made_bytes_total", counter, nil, "Bytes of the archives that were made.",
		func(now *scrape, to samples) { to.count(now.archives.Bytes) }},
	{"sould_packs_total", counter, []string{"result"},
		"Answers to clones and fetches: made for the client (made), for another one or ahead (shared), or passed on as they came from the origin while the mirror was made (passed).",
		func(now *scrape, to samples) {
			to.count(now.packs.Made, "made")
			to.count(now.packs.Shared, "shared")
			to.count(now.packs.Passed, "passed")
		}},
	{"sould_packs_kept_total", counter, nil, "Answers to clones and fetches that were put into the cache.",
		func(now *scrape, to samples) { to.count(now.packs.Kept) }},
	{"sould_packs_ahead_total", counter, nil, "Packs and bundles that were made before somebody asked.",
		func(now *scrape, to samples) { to.count(now.packs.Ahead) }},
	{"sould_packs_failed_total", counter, nil, "Packs and bundles that could not be made.",
		func(now *scrape, to samples) { to.count(now.packs.Failed) }},
	{"sould_pack_making_duration_seconds", histogram, nil, "How long it took to make packs and bundles.",
		func(now *scrape, to samples) { to.durations(now.packs.Making) }},
	{"sould_pack_made_bytes_total", counter, nil, "Bytes of the packs and bundles that were made.",
		func(now *scrape, to samples) { to.count(now.packs.Bytes) }},
	{"sould_sent_bytes_total", counter, []string{"content"}, "Bytes that were sent, without headers.",
		func(now *scrape, to samples) {
			to.count(now.parts.Sent.Archives.Load(), "archive")
			to.count(now.parts.Sent.Packs.Load(), "pack")
			to.count(now.parts.Sent.Bundles.Load(), "bundle")
		}},
	{"sould_prefetch_waiting", gauge, []string{"content"}, "Archives, packs and bundles that wait to be made before somebody asks.",
		func(now *scrape, to samples) {
			to.value(float64(now.parts.Prefetcher.Waiting()), "archive")
			to.value(float64(now.parts.Packs.Prefetcher.Waiting()), "pack")
			to.value(float64(now.parts.Packs.Offers.Waiting()), "bundle")
		}},
}

var loadMetrics = []metric{
	{"sould_line_places", gauge, []string{"line"}, "How much of a kind of work may be done at once.",
		func(now *scrape, to samples) {
			for name, line := range now.lines {
				to.value(float64(line.Places), name)
			}
		}},
	{"sould_line_places_taken", gauge, []string{"line"}, "How much of it is being done.",
		func(now *scrape, to samples) {
			for name, line := range now.lines {
				to.value(float64(line.Taken), name)
			}
		}},
	{"sould_line_waiting", gauge, []string{"line"}, "How many wait for a place.",
		func(now *scrape, to samples) {
			for name, line := range now.lines {
				to.value(float64(line.Waiting), name)
			}
		}},
	{"sould_line_longest_wait_seconds", gauge, []string{"line"}, "How long the one has waited who waits longest.",
		func(now *scrape, to samples) {
			for name, line := range now.lines {
				to.value(line.Longest.Seconds(), name)
			}
		}},
	{"sould_connections", gauge, []string{"state"},
		"Connections of clients: all (open), those whose request is being answered, and archives and packs being sent.",
		func(now *scrape, to samples) {
			to.value(float64(now.conns.Open), "open")
			to.value(float64(now.conns.Answering), "answering")
			to.value(float64(now.conns.Sending), "sending")
		}},
	{"sould_connections_limit", gauge, []string{"state"}, "How many of these there may be.",
		func(now *scrape, to samples) {
			to.value(float64(now.conns.MaxOpen), "open")
			to.value(float64(now.conns.MaxAnswering), "answering")
			to.value(float64(now.conns.MaxSending), "sending")
		}},
	{"sould_cache_limit_bytes", gauge, nil, "The limit of the cache of archives and packs.",
		func(now *scrape, to samples) { to.value(float64(now.cache.Limit)) }},
	{"sould_cache_used_bytes", gauge, nil, "The size of the files in the cache, those that grow included.",
		func(now *scrape, to samples) { to.value(float64(now.cache.Used)) }},
	{"sould_cache_files", gauge, nil, "The number of these files.",
		func(now *scrape, to samples) { to.value(float64(now.cache.Files)) }},
	{"sould_cache_evicted_files_total", counter, nil, "Files that were removed from the cache to make room.",
		func(now *scrape, to samples) { to.count(now.cache.Evicted) }},
	{"sould_disk_size_bytes", gauge, nil, "The size of the file system of the storage. Not while it cannot be asked.",
		func(now *scrape, to samples) {
			if now.space != nil {
				to.value(float64(now.space.Size))
			}
		}},
	{"sould_disk_free_bytes", gauge, nil, "What of it sould may still take. Not while it cannot be asked.",
		func(now *scrape, to samples) {
			if now.space != nil {
				to.value(float64(now.space.Free))
			}
		}},
}

var notifyMetrics = []metric{
	{"sould_notifications_unconfirmed", gauge, nil,
		"Mirrors that have changed, and of which not all servers are known to have what this one has. Nobody is told before that.",
		func(now *scrape, to samples) { to.value(float64(now.notifications.Unconfirmed)) }},
	{"sould_notifications_waiting", gauge, []string{"url"}, "Deliveries that the URL has not accepted yet.",
		func(now *scrape, to samples) {
			for _, t := range now.notifications.Targets {
				to.value(float64(t.Waiting), t.Target.String())
			}
		}},
	{"sould_notifications_total", counter, []string{"url", "result"},
		"Deliveries by what became of sending them: sent (accepted), failed (to be sent again), dropped (given up after a week).",
		func(now *scrape, to samples) {
			for _, t := range now.notifications.Targets {
				to.count(t.Sent, t.Target.String(), "sent")
				to.count(t.Failed, t.Target.String(), "failed")
				to.count(t.Dropped, t.Target.String(), "dropped")
			}
		}},
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// states are those of mirrors in the metrics.
var states = []mirror.Outcome{mirror.Success, mirror.Failed, mirror.Unknown}
