package cluster

import (
	"cmp"

	"github.com/reconquest/sould/internal/errtext"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/protocol"
	"github.com/reconquest/sould/internal/storage"
)

// MirrorStatus is what the status of this server tells of a mirror. running is the pull of it that
// is running, or nil.
func MirrorStatus(m *mirror.Mirror, running *mirror.Progress) protocol.Mirror {
	return StatusOf(m.Name, m.Snapshot(), running, m.Unreadable())
}

// StatusOf is MirrorStatus of a mirror that may not be there yet, or not be read: then s is nil.
// unreadable is why it cannot be read; empty if it can.
func StatusOf(name storage.Name, s *mirror.Snapshot, running *mirror.Progress, unreadable string) protocol.Mirror {
	m := protocol.Mirror{Name: name.String(), State: protocol.Unknown}
	switch {
	case s != nil:
		m.Origin, m.Branch, m.Revision = s.Origin.String(), s.Head.Ref, s.Head.ID
		m.Fingerprint, m.Refs = string(s.Fingerprint), len(s.Refs)
		m.State = protocol.State(s.Outcome)
		if !s.Wanted.IsZero() {
			m.Wanted = s.Wanted.UnixNano()
		}
		if !s.Pulled.IsZero() {
			m.ModifyDate, m.Nanoseconds = s.Pulled.Unix(), int64(s.Pulled.Nanosecond())
			m.From = cmp.Or(s.From, protocol.FromOrigin)
		}
		if s.Outcome == mirror.Failed {
			m.Error = errtext.Line(s.LastError)
		}
		if !s.Checked.IsZero() {
			m.Checked, m.CheckError = s.Checked.Unix(), errtext.Line(s.CheckError)
		}
		m.Shallow, m.Warnings, m.OnDemand = s.Shallow, s.Warnings, s.OnDemand
		if !s.Gone.IsZero() {
			m.Gone, m.GoneBy = s.Gone.Unix(), s.GoneBy
		}
		if since := s.Hook.BrokenSince(); !since.IsZero() {
			m.HookBroken = since.Unix()
		}
		if !s.Rebuilt.IsZero() {
			m.Mended = s.Rebuilt.Unix()
		}
	case unreadable != "":
		m.State, m.Error = protocol.Failed, errtext.Line(unreadable)
	}
	if running != nil {
		m.State, m.Pull = protocol.Processing, ProgressOf(running.Now())
	}
	return m
}

// ProgressOf is what a server tells of a pull that is running.
func ProgressOf(now mirror.Step) *protocol.Progress {
	p := &protocol.Progress{
		Words: now.String(), From: now.From, Since: now.Since.Unix(),
		Done: now.Done, Total: now.Total, Bytes: now.Bytes, Rate: now.Rate,
	}
	if now.Total > 0 {
		p.Percent = &now.Percent
	}
	return p
}

// RetainedStatus lists the lost refs that are retained of a mirror.
func RetainedStatus(s *mirror.Snapshot) (all []protocol.Retained) {
	for _, r := range s.Retained {
		all = append(all, protocol.Retained{Ref: r.Ref, Commit: r.ID, Date: r.At.Unix()})
	}
	return all
}
