//go:build race

package webhook

const raceEnabled = true // then a sync.Pool, such as that of encoding/json, drops some of what it gets
