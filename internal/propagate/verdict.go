package propagate

import (
	"net/http"

	"github.com/reconquest/sould/internal/protocol"
)

// verdict returns the HTTP status for what became of a pull on this server and its slaves, by the
// contract's table. A slave that works on the request for another sender counts neither as
// pulled nor as failed: see protocol.Elsewhere.
func verdict(local protocol.Outcome) int {
	var pulled, failed, processing int
	for _, o := range local.Slaves {
		switch o.State {
		case protocol.Success:
			pulled++
		case protocol.Processing:
			processing++
		case protocol.Failed:
			failed++
			if o.SomePulled {
				pulled++
			}
		}
	}
	switch {
	case local.State == protocol.Processing || processing > 0:
		return http.StatusAccepted
	case local.State == protocol.Success && failed == 0:
		return http.StatusOK
	case failed == 0: // it could not, and its slaves, if it has any, could
		return http.StatusInternalServerError
	case local.State == protocol.Success || pulled > 0:
		return http.StatusBadGateway
	default:
		return http.StatusServiceUnavailable
	}
}
