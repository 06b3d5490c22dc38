package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"github.com/reconquest/sould/internal/coalesce"
	"github.com/reconquest/sould/internal/tally"
)

// metrics renders what a server measures, in Prometheus' text format. The parts of the server count
// by themselves, without Prometheus, and are only read here: a scrape takes no more locks than the
// status, and nothing is done for it in between.
type metrics struct {
	registry   *prometheus.Registry
	scraping   atomic.Int64 // clients that are being answered
	renderings coalesce.Group[struct{}, struct{}, []byte]
}

// metricsType is the format's media type.
const metricsType = string(expfmt.FmtText)

// newMetrics returns the metrics of a server, which must have its mirrors when they are rendered.
func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		newTableCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// render returns the metrics of now. Who asks while they are rendered shares the next rendering
// with all others who do.
func (m *metrics) render(ctx context.Context) ([]byte, error) {
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

// tableCollector reads the metrics of metricTable.
type tableCollector struct {
	server *Server
	descs  []*prometheus.Desc // in the order of the table
}

func newTableCollector(s *Server) *tableCollector {
	c := &tableCollector{server: s}
	for _, m := range metricTable {
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
	now := newScrape(c.server)
	for i, m := range metricTable {
		m.read(now, samples{m.kind, c.descs[i], found})
	}
}

// samples takes the values of one metric.
type samples struct {
	kind  metricKind
	desc  *prometheus.Desc
	found chan<- prometheus.Metric
}

var valueTypes = map[metricKind]prometheus.ValueType{counter: prometheus.CounterValue, gauge: prometheus.GaugeValue}

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
