// Package metrics tells Prometheus what a server measures.
//
// The parts of a server count by themselves, in plain numbers, and know nothing of Prometheus. They are
// only read here, all of them once for each rendering: nothing is registered and no label is kept in
// between, so that a mirror or a server that is gone is gone here as well.
//
//	metrics.go    the rendering; alone here stands what Prometheus' client is asked
//	table.go      what is told, by which name (docs/metrics.md explains it)
//	scrape.go     what one rendering reads
//	counters.go   what those count who answer requests
package metrics

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/tally"
)

// Metrics renders what a server measures, in Prometheus' text format. It takes no more locks for that
// than the status. It is safe for concurrent use.
type Metrics struct {
	registry   *prometheus.Registry
	renderings coalesce.Group[struct{}, struct{}, []byte]
}

// ContentType is the format's media type.
const ContentType = string(expfmt.FmtText)

// New returns the metrics of the parts of a server.
func New(parts Parts) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		newTableCollector(&parts), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Render returns the metrics of now. Who asks while they are rendered shares the next rendering
// with all others who do.
func (m *Metrics) Render(ctx context.Context) ([]byte, error) {
	return m.renderings.Do(ctx, struct{}{}, struct{}{}, func() ([]byte, error) {
		families, err := m.registry.Gather()
		if err != nil {
			return nil, fmt.Errorf("can't gather the metrics: %w", err)
		}
		var text bytes.Buffer
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
				return nil, fmt.Errorf("can't render the metrics: %w", err)
			}
		}
		return text.Bytes(), nil
	})
}

// Wait waits until no rendering runs.
func (m *Metrics) Wait() { m.renderings.Wait() }

// tableCollector reads the metrics of the table.
type tableCollector struct {
	parts *Parts
	descs []*prometheus.Desc // in the order of the table
}

func newTableCollector(parts *Parts) *tableCollector {
	c := &tableCollector{parts: parts}
	for _, m := range table {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

// Describe is for the registry.
func (c *tableCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect is for the registry.
func (c *tableCollector) Collect(found chan<- prometheus.Metric) {
	now := newScrape(c.parts)
	for i, m := range table {
		m.read(now, samples{m.kind, c.descs[i], found})
	}
}

// samples takes the values of one metric.
type samples struct {
	kind  kind
	desc  *prometheus.Desc
	found chan<- prometheus.Metric
}

var valueTypes = map[kind]prometheus.ValueType{counter: prometheus.CounterValue, gauge: prometheus.GaugeValue}

// value adds a value with these labels.
func (s samples) value(value float64, labels ...string) {
	s.found <- prometheus.MustNewConstMetric(s.desc, valueTypes[s.kind], value, valid(labels)...)
}

// count is value for a counter.
func (s samples) count(n uint64, labels ...string) { s.value(float64(n), labels...) }

// time is value for a moment. A zero one is left out.
func (s samples) time(t time.Time, labels ...string) {
	if !t.IsZero() {
		s.value(float64(t.UnixNano())/1e9, labels...)
	}
}

// durations adds durations with these labels, to a summary without their buckets.
func (s samples) durations(c tally.Counts, labels ...string) {
	if s.kind == summary {
		s.found <- prometheus.MustNewConstSummary(s.desc, c.Count, c.Sum.Seconds(), nil, valid(labels)...)
		return
	}
	buckets := make(map[float64]uint64, len(tally.Bounds))
	for i, bound := range tally.Bounds {
		buckets[bound.Seconds()] = c.Within[i]
	}
	s.found <- prometheus.MustNewConstHistogram(s.desc, c.Count, c.Sum.Seconds(), buckets, valid(labels)...)
}

// valid makes labels valid. One that is not would make the whole answer an error.
func valid(labels []string) []string {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "�")
	}
	return labels
}
