package uploadpack

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/smarthttp"
)

// Fetch answers what a client asks about a mirror after the first question: for objects or, in version
// 2, for refs and bundles. It pulls only for what the client names and the mirror lacks: the rest is
// about what the client was shown before. peer is whether another server of the cluster asks.
func (s *Service) Fetch(w http.ResponseWriter, r *http.Request, m *mirror.Mirror, peer bool) error {
	request, err := s.requests.Read(w, r)
	if err != nil {
		return err
	}
	return s.exchange(w, r, peer).answer(m, request)
}

// answer answers a request about a mirror, and closes it.
func (e *exchange) answer(m *mirror.Mirror, request *smarthttp.Request) error {
	if e.version == 2 {
		if err := e.ensureContained(m, request); err != nil {
			request.Close()
			return e.refuse(m, err)
		}
	}
	snap := e.setState(m, result)
	switch {
	case e.version == 2 && request.Is("ls-refs"):
		defer request.Close()
		return e.listRefs(m, snap, request)
	case e.version == 2 && request.Is(bundleURI):
		request.Close()
		return e.send(bundleList(m.Name, e.Packs.Offers.Ready(m)))
	default:
		return e.sendPack(m, request)
	}
}

var errNotHeld = errors.New("the mirror does not hold")

// ensureContained makes sure that the mirror holds the commit that a client insists on, or returns
// why it does not.
func (e *exchange) ensureContained(m *mirror.Mirror, request *smarthttp.Request) error {
	commit, err := request.Contains()
	if commit == "" || err != nil {
		return err
	}
	ok, err := m.EnsureHeld(e.r.Context(), commit)
	if err == nil && !ok {
		err = fmt.Errorf("%w %s", errNotHeld, commit)
	}
	return err
}

// refuse tells a client what is wrong with its request in git's own form: of another status
// than 200 git shows the number alone. What is wrong with the server it returns.
func (e *exchange) refuse(m *mirror.Mirror, err error) error {
	if !errors.Is(err, errNotHeld) && !errors.As(err, new(*smarthttp.Error)) {
		return err
	}
	e.setState(m, result)
	return e.send(git.ErrorPacket(err))
}
