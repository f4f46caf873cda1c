package runtime

import (
	"runtime"
	"sync/atomic"
	"time"
)

// workers runs the parts of a step on several threads. Parts are independent
// and each computes whole results, so their number and order change no bit.
type workers struct {
	threads int
	crew    *crew       // between start and stop
	scratch [][]float32 // of each thread
}

// crew is the helpers of one run. They wait busily for the next job, as it
// mostly comes within microseconds, and sleep after patience.
type crew struct {
	job    atomic.Pointer[job] // the latest; nil after stop
	posted atomic.Uint64       // counts changes of job
	asleep atomic.Int64
	wake   chan *job // for those asleep; one too many only finds nothing to do
	spin   bool      // there is a processor for each thread
}

// patience is how long a thread waits busily.
const patience = 200 * time.Microsecond

type job struct {
	body   func(worker, part int)
	n      int64
	next   atomic.Int64 // part
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
	if w.threads == 1 || w.crew != nil {
		return
	}
	c := &crew{wake: make(chan *job, w.threads), spin: runtime.GOMAXPROCS(0) >= w.threads}
	w.crew = c
	for i := 1; i < w.threads; i++ {
		go c.help(i)
	}
}

func (w *workers) stop() {
	if w.crew != nil {
		w.crew.job.Store(nil)
		w.crew.posted.Add(1)
		close(w.crew.wake)
		w.crew = nil
	}
}

func (c *crew) help(worker int) {
	var seen uint64
	for {
		if c.await(func() bool { return c.posted.Load() != seen }) {
			seen = c.posted.Load()
			j := c.job.Load()
			if j == nil {
				return
			}
			j.work(worker)
			continue
		}
		c.asleep.Add(1)
		if c.posted.Load() == seen {
			if j := <-c.wake; j != nil {
				j.work(worker)
			}
		}
		c.asleep.Add(-1)
	}
}

// await waits busily for ok; false if patience ends.
func (c *crew) await(ok func() bool) bool {
	if !c.spin {
		return ok()
	}
	var end time.Time
	for i := 0; ; i++ {
		if ok() {
			return true
		}
		if i%1024 == 1023 {
			if now := time.Now(); end.IsZero() {
				end = now.Add(patience)
			} else if now.After(end) {
				return false
			}
		}
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
	c := w.crew
	if c == nil || n <= 1 {
		for i := range n {
			body(0, i)
		}
		return
	}
	j := &job{body: body, n: int64(n), done: make(chan struct{})}
	j.left.Store(int64(n))
	c.job.Store(j)
	c.posted.Add(1)
	for range min(int(c.asleep.Load()), n-1) {
		select {
		case c.wake <- j:
		default:
		}
	}
	j.work(0)
	if !c.await(func() bool { return j.left.Load() == 0 }) {
		<-j.done
	}
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
