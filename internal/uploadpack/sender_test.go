package uploadpack

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/reconquest/sould/internal/conn"
)

// patient is an answer that has all the time in the world.
type patient struct{ *httptest.ResponseRecorder }

func (patient) SetWriteDeadline(time.Time) error { return nil }

// TestSenderKnowsARefusal by how an answer begins, and by nothing that comes later.
func TestSenderKnowsARefusal(t *testing.T) {
	for _, c := range []struct {
		pieces []string
		want   bool
	}{
		{[]string{"0021ERR upload-pack: not our ref x"}, true},
		{[]string{"0008NAK\n", "000aERR x\n"}, false},
		{[]string{"0032ERR not our ref", " and more"}, true},
		{[]string{"0004"}, false},
		{nil, false},
	} {
		s := &sender{DeadlineWriter: conn.NewDeadlineWriter(patient{httptest.NewRecorder()})}
		for _, piece := range c.pieces {
			if _, err := s.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
		}
		if s.refusal != c.want {
			t.Errorf("%q: %v", c.pieces, s.refusal)
		}
	}
}
