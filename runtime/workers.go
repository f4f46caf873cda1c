package runtime

import "sync/atomic"

// workers runs the parts of a step on several threads. Parts are independent
// and each computes whole results, so their number and order change no bit.
type workers struct {
	threads int
	jobs    chan *job
	scratch [][]float32 // of each thread
}

type job struct {
	body   func(worker, part int)
	n      int64
	next   atomic.Int64 // part
	id     atomic.Int64 // of the last helper
	left   atomic.Int64 // parts not done
	done   chan struct{}
	failed atomic.Pointer[failure]
}

// failure is a panic of a part; the caller of run has it again.
type failure struct{ reason any }

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
		j.part(worker, int(i))
	}
}

func (j *job) part(worker, i int) {
	defer func() {
		if p := recover(); p != nil {
			j.failed.CompareAndSwap(nil, &failure{p})
		}
		if j.left.Add(-1) == 0 {
			close(j.done)
		}
	}()
	j.body(worker, i)
}

// run calls body for the parts 0 to n-1. worker tells threads apart.
func (w *workers) run(n int, body func(worker, part int)) {
	if w.jobs == nil || n <= 1 {
		for i := range n {
			body(0, i)
		}
		return
	}
	j := &job{body: body, n: int64(n), done: make(chan struct{})}
	j.left.Store(int64(n))
	for range min(w.threads, n) - 1 {
		select {
		case w.jobs <- j:
		default: // the helpers are still behind: go on without
		}
	}
	j.work(0)
	<-j.done // a helper that comes too late finds nothing to do and is not waited for
	if f := j.failed.Load(); f != nil {
		panic(f.reason)
	}
}

// buffer is scratch memory of a thread, unset, valid until its next call.
func (w *workers) buffer(worker, n int) []float32 {
	if cap(w.scratch[worker]) < n {
		w.scratch[worker] = alignedFloats(n)
	}
	return w.scratch[worker][:n]
}
