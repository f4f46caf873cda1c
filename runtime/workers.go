package runtime

import (
	"sync"
	"sync/atomic"
)

// workers runs the parts of a step on several threads. Parts are independent
// and each computes whole results, so their number and order change no bit.
type workers struct {
	threads int
	jobs    chan *job
	scratch [][]float32 // of each thread
}

type job struct {
	body func(worker, part int)
	n    int64
	next atomic.Int64
	id   atomic.Int64
	wait sync.WaitGroup
}

func newWorkers(threads int) *workers {
	threads = max(threads, 1)
	return &workers{threads: threads, scratch: make([][]float32, threads)}
}

// start readies the helpers, until stop.
func (w *workers) start() {
	if w.threads == 1 || w.jobs != nil {
		return
	}
	w.jobs = make(chan *job, w.threads)
	for range w.threads - 1 {
		go func(jobs chan *job) {
			for j := range jobs {
				j.work(int(j.id.Add(1)))
				j.wait.Done()
			}
		}(w.jobs)
	}
}

func (w *workers) stop() {
	if w.jobs != nil {
		close(w.jobs)
		w.jobs = nil
	}
}

func (j *job) work(worker int) {
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.body(worker, int(i))
	}
}

// run calls body for the parts 0 to n-1. worker tells threads apart.
func (w *workers) run(n int, body func(worker, part int)) {
	if w.jobs == nil || n <= 1 {
		for i := range n {
			body(0, i)
		}
		return
	}
	j := &job{body: body, n: int64(n)}
	helpers := min(w.threads, n) - 1
	j.wait.Add(helpers)
	for range helpers {
		w.jobs <- j
	}
	j.work(0)
	j.wait.Wait()
}

// buffer is scratch memory of a thread, unset, valid until its next call.
func (w *workers) buffer(worker, n int) []float32 {
	if cap(w.scratch[worker]) < n {
		w.scratch[worker] = alignedFloats(n)
	}
	return w.scratch[worker][:n]
}
