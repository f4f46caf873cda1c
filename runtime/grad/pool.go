package grad

import "sync"

// pool is a fixed number of threads. The calling one is the first.
type pool struct {
	threads int
	work    chan part
	done    sync.WaitGroup
}

type part struct {
	run    func(lo, hi int)
	lo, hi int
}

func newPool(threads int) *pool {
	p := &pool{threads: max(threads, 1)}
	if p.threads > 1 {
		p.work = make(chan part)
		for range p.threads - 1 {
			go func() {
				for w := range p.work {
					w.run(w.lo, w.hi)
					p.done.Done()
				}
			}()
		}
	}
	return p
}

func (p *pool) close() {
	if p.work != nil {
		close(p.work)
		p.work, p.threads = nil, 1
	}
}

// minPart is the least work, in elements or multiplications, worth another
// thread.
const minPart = 1 << 14

// split calls run on parts of [0, n), bounds at multiples of align; each unit
// costs about cost elements of work.
func (p *pool) split(n, align, cost int, run func(lo, hi int)) {
	parts := min(p.threads, n*cost/minPart+1, (n+align-1)/align)
	if parts <= 1 {
		run(0, n)
		return
	}
	size := (n/parts + align) / align * align
	p.done.Add((n+size-1)/size - 1)
	for lo := size; lo < n; lo += size {
		p.work <- part{run, lo, min(lo+size, n)}
	}
	run(0, size)
	p.done.Wait()
}
