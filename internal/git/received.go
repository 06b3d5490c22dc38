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

// traceCopy copies what a command writes to one of its traces. A nil one copies nothing.
type traceCopy struct {
	out, in *os.File // of a pipe
	done    chan struct{}
}

// tracePacks has a command that is not started yet write the packs that it receives to w.
func tracePacks(cmd *exec.Cmd, w io.Writer) (*traceCopy, error) {
	p, err := traceTo(cmd, "GIT_TRACE_PACKFILE", w)
	if p != nil {
		enlargePipe(p.out)
	}
	return p, err
}

// traceTo has a command that is not started yet write a trace to w, as far as w takes it: an error of w
// does not disturb the command. variable is that of the trace (git(1)). Without a w there is none.
func traceTo(cmd *exec.Cmd, variable string, w io.Writer) (*traceCopy, error) {
	if w == nil {
		return nil, nil
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	const firstExtra = 3 // os/exec, Cmd.ExtraFiles
	cmd.Env = append(cmd.Env, variable+"="+strconv.Itoa(firstExtra+len(cmd.ExtraFiles)))
	cmd.ExtraFiles = append(cmd.ExtraFiles, in)
	p := &traceCopy{out, in, make(chan struct{})}
	go p.copy(w)
	return p, nil
}

func (p *traceCopy) copy(w io.Writer) {
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
func (p *traceCopy) started() {
	if p != nil {
		p.in.Close()
	}
}

// wait returns when all that the command has written is copied. The command must have ended.
func (p *traceCopy) wait() {
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
