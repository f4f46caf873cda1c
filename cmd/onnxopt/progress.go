package main

import (
	"fmt"

	"github.com/schollz/progressbar/v3"
)

// progress shows the work of one step after another: a bar on a terminal, a
// line at the end of each step otherwise.
type progress struct {
	c    *call
	off  bool
	step string
	bar  *progressbar.ProgressBar
}

func (p *progress) update(step string, done, total int) {
	if p.off {
		return
	}
	if step != p.step {
		p.step = step
		if p.c.tty {
			p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.c.errOut), progressbar.OptionSetDescription(fmt.Sprintf("%-12s", step)),
				progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
		}
	}
	if p.bar != nil {
		_ = p.bar.Set(done) // a bar that cannot be drawn is no reason to stop
	}
	if done == total && p.bar == nil {
		fmt.Fprintf(p.c.errOut, "%s: %d of %d\n", step, done, total)
	}
	if done == total {
		p.step, p.bar = "", nil
	}
}

// detail is update with words about the work, which a terminal shows beside
// the bar.
func (p *progress) detail(step string, done, total int, words string) {
	p.update(step, done, total)
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%-12s %s", step, words))
	} else if done == total && !p.off && !p.c.tty {
		fmt.Fprintf(p.c.errOut, "%s: %s\n", step, words)
	}
}
