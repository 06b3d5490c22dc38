package pack

import (
	"testing"
	"time"
)

// TestWhenABundleIsMadeAgain: at once if there was none, else after a day, for clients that clone.
func TestWhenABundleIsMadeAgain(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		offer
		due bool
	}{
		"there was none":                    {offer{}, true},
		"somebody has cloned since":         {offer{id: "a", at: now.Add(-offerAge), wanted: true}, true},
		"that is not long ago":              {offer{id: "a", at: now.Add(-offerAge + 1), wanted: true}, false},
		"nobody has cloned since":           {offer{id: "a", at: now.Add(-100 * offerAge)}, false},
		"it was made when the clock was on": {offer{id: "a", at: now.Add(offerAge), wanted: true}, false},
	} {
		if got := c.isDue(now); got != c.due {
			t.Errorf("%s: %v", what, got)
		}
	}
}
