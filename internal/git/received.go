package git

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Git writes the packs that it receives, byte for byte, to what GIT_TRACE_PACKFILE names (git(1)).
// A digit is a descriptor there, which its helpers have as well. So others can have the pack while
// git still indexes it.

// packCopy copies what a command writes to its trace of packs. A nil one copies nothing.
type packCopy struct {
	out, in *os.File // of a pipe
	done    chan struct{}
}

// tracePacks has a command that is not started yet write the packs that it receives to w, as far as w
// takes them: an error of w does not disturb the command.
func tracePacks(cmd *exec.Cmd, w io.Writer) (*packCopy, error) {
	if w == nil {
		return nil, nil
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	enlargePipe(out)
	const firstExtra = 3 // os/exec, Cmd.ExtraFiles
	cmd.Env = append(cmd.Env, "GIT_TRACE_PACKFILE="+strconv.Itoa(firstExtra+len(cmd.ExtraFiles)))
	cmd.ExtraFiles = append(cmd.ExtraFiles, in)
	p := &packCopy{out, in, make(chan struct{})}
	go p.copy(w)
	return p, nil
}

func (p *packCopy) copy(w io.Writer) {
	defer close(p.done)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := p.out.Read(*buf)
		if n > 0 && w != nil {
			if _, failed := w.Write((*buf)[:n]); failed != nil {
				w = nil // git would end if nobody read what it writes
			}
		}
		if err != nil {
			return
		}
	}
}

// started gives the end for writing over to the command, which was started or could not be.
func (p *packCopy) started() {
	if p != nil {
		p.in.Close()
	}
}

// wait returns when all that the command has written is copied. The command must have ended.
func (p *packCopy) wait() {
	if p == nil {
		return
	}
	_ = p.out.SetReadDeadline(time.Now().Add(grace)) // if a process of it lives on
	<-p.done
	p.out.Close()
}

// wholeHistoryOnly passes a pack on, unless its history is cut off. Whoever gets that of a shallow remote
// has to be told where, which the pack does not say. Git knows it before the pack comes, and writes it to a
// temporary file in the repository (setup_temporary_shallow in git's shallow.c).
type wholeHistoryOnly struct {
	w     io.Writer
	dir   string // of the repository
	begun bool
}

var errCutOff = errors.New("the history of the pack is cut off")

func (h *wholeHistoryOnly) Write(p []byte) (int, error) {
	if !h.begun {
		cut, err := filepath.Glob(filepath.Join(globQuote(h.dir), "shallow_*"))
		if err != nil || len(cut) > 0 {
			return 0, errCutOff
		}
		h.begun = true
	}
	return h.w.Write(p)
}
