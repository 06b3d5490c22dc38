package uploadpack

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/reconquest/sould/internal/conn"
	"github.com/reconquest/sould/internal/git"
	"github.com/reconquest/sould/internal/spool"
)

// sender sends answers of git to a client.
type sender struct {
	*conn.DeadlineWriter
	refusal bool // what was sent begins with an error in git's own form
}

func (s *sender) Write(b []byte) (int, error) {
	if !s.Begun {
		s.refusal = git.BeginsWithError(b)
	}
	return s.DeadlineWriter.Write(b)
}

// follow sends what there is as soon as it is there, since a person may be watching git count,
// up to the end. The error is that of spool.Reader.CopyNext.
func (s *sender) follow(ctx context.Context, growing *spool.Reader) error {
	for {
		if _, err := growing.CopyNext(ctx, s, conn.MaxPiece); err != nil {
			return err
		}
		if s.Err = s.Control.Flush(); s.Err != nil {
			return s.Err
		}
	}
}

// sendFile sends an answer that is finished, which the kernel can do by itself. The error says why
// there is nothing to send; of one that comes later s.Err tells.
func (s *sender) sendFile(finished *spool.Reader) error {
	f, err := finished.Open()
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("can't read the pack: %w", err)
	}
	s.Header()["Content-Length"] = []string{strconv.FormatInt(finished.Size(), 10)}
	if _, err = io.Copy(s.DeadlineWriter, f); s.Err == nil {
		s.Err = err
	}
	return nil
}
