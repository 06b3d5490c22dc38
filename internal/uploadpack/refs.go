package uploadpack

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
)

// Refs answers a client's first question about a mirror: what the server can do and, before version
// 2, which refs there are. peer is whether another server of the cluster asks.
func (s *Service) Refs(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, peer bool) error {
	e := s.exchange(w, r, peer)
	snap := e.setState(m, advertisement)
	if snap.IDLength() == 0 || snap.Shallow { // what is known of it is not all
		return e.advertise(m)
	}
	greeting, err := s.greetings.get(r.Context(), e.version, snap.IDLength(), m.Advertise)
	if err != nil {
		m.Suspect(err)
		return fmt.Errorf("can't find out how git greets a client: %w", err)
	}
	if _, err = io.WriteString(e.w, preface(e.version)); err == nil {
		err = greeting.Write(e.w, snap.Listing, e.offered(m)...)
	}
	return whole(err)
}

// preface is what stands before the advertisement of refs in a version of the protocol.
func preface(version int) string {
	if version == 2 {
		return ""
	}
	return "001e# service=git-upload-pack\n0000"
}

// offered is what this server can do for a client that git itself cannot.
func (e *exchange) offered(m *mirror.Mirror) (capabilities []string) {
	if !e.peer && e.Packs.Offers.Ready(m) != "" {
		capabilities = append(capabilities, bundleURI)
	}
	return capabilities
}

// advertise has git answer the first question.
func (e *exchange) advertise(m *mirror.Mirror) error {
	var advert []byte
	err := e.work(m, func(ctx context.Context) (err error) {
		advert, err = m.Advertise(ctx, e.version)
		return err
	})
	if err != nil {
		m.Suspect(err)
		return fmt.Errorf("can't list the refs: %w", err)
	}
	return e.send(append([]byte(preface(e.version)), advert...))
}

// listRefs answers a request of version 2 for a list of refs, from the snapshot or, if that does not have all
// that is asked for, by git. The lock of the mirror is not held for as long as a client takes to read it.
func (e *exchange) listRefs(m *mirror.Mirror, snap *mirror.Snapshot, request *smarthttp.Request) error {
	if list, ok := git.ParseLsRefs(request.Reader(), snap.IDLength()); ok {
		return whole(list.Write(e.w, snap.Listing))
	}
	var answer []byte
	err := e.work(m, func(ctx context.Context) (err error) {
		answer, err = m.ListRefs(ctx, request.Reader())
		return err
	})
	if git.IsRequestError(err) {
		err = &smarthttp.Error{Kind: smarthttp.Malformed, Err: err}
	}
	if err != nil {
		m.Suspect(err)
		return fmt.Errorf("can't list the refs: %w", err)
	}
	return e.send(answer)
}
