package main

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/reconquest/sould/internal/access"
	"github.com/reconquest/sould/internal/archive"
	"github.com/reconquest/sould/internal/download"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/mirror"
	"github.com/reconquest/sould/internal/storage"
)

func TestStatusOfErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), http.StatusInternalServerError},
		{fmt.Errorf("y: %w", fail(kindUnsatisfied, "x")), http.StatusPreconditionFailed},
		{fmt.Errorf("y: %w", storage.Conflictf("x")), http.StatusConflict},
		{&access.Refusal{WrongHost: true}, http.StatusMisdirectedRequest},
		{fmt.Errorf("y: %w", &access.Refusal{}), http.StatusUnauthorized},
		{fmt.Errorf("y: %w", archive.ErrNoSum), http.StatusServiceUnavailable},
		{&download.Error{Kind: download.NotKept}, http.StatusNotFound},
		{mirror.ErrEmpty, http.StatusConflict},
		{fmt.Errorf("y: %w", mirror.ErrUnknown), http.StatusNotFound},
		{fmt.Errorf("y: %w", git.ErrNotFound), http.StatusNotFound},
		{&git.Error{Err: mirror.ErrClosing}, http.StatusServiceUnavailable},
	} {
		if got := statusOf(c.err); got != c.want {
			t.Errorf("statusOf(%v) = %d, want %d", c.err, got, c.want)
		}
	}
	for k := kindBroken; k <= kindUnavailable; k++ {
		if statuses[k] < 400 {
			t.Errorf("kind %d has no status", k)
		}
	}
	for k := download.NoRoom; k <= download.NotARef; k++ {
		if downloadStatuses[k] < 400 {
			t.Errorf("kind %d of downloads has no status", k)
		}
	}
}
