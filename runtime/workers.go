package runtime

import (
	"runtime"
	"sync/atomic"
	"time"
)

// workers runs the parts of a step on several threads. Parts are independent
// and each computes whole results, so their number and order change no bit.
//
// Each thread begins with its own share of consecutive parts and then takes
// what others have left. Steps cut into parts alike so find what the step before
// them computed in the cache of the same core.
type workers struct {
	threads int
	crew    *crew       // nil for one thread
	scratch [][]float32 // of each thread
}

// crew is the helpers of a session. During a run they wait busily for the
// next job, as it mostly comes within microseconds, and sleep after patience;
// between runs they sleep.
type crew struct {
	body    func(worker, part int) // of the job, as n
	n       int
	shares  []share
	left    atomic.Int64 // parts not done
	posted  atomic.Uint32
	resting atomic.Bool // between runs
	ended   atomic.Bool
	asleep  atomic.Int64
	wake    chan struct{} // for those asleep; one too many only finds nothing to do
	done    chan struct{} // may hold a token of an earlier job
	failed  atomic.Pointer[failure]
	spin    bool // there is a processor for each thread
}

// share is the parts that one thread begins with, on a cache line of its own:
// the number of the job, and below it how many nobody has taken. Who takes one checks
// the job in the same step, so that a thread that comes late takes none of the next.
type share struct {
	state atomic.Uint64
	_     [120]byte
}

// patience is how long a thread waits busily.
const patience = 200 * time.Microsecond

// failure is a panic of a part; the caller of run has it again.
type failure struct{ reason any }

func newWorkers(threads int) *workers {
	threads = max(threads, 1)
	w := &workers{threads: threads, scratch: make([][]float32, threads)}
	if threads > 1 {
		c := &crew{shares: make([]share, threads), wake: make(chan struct{}, threads), done: make(chan struct{}, 1),
			spin: runtime.GOMAXPROCS(0) >= threads}
		w.crew = c
		c.resting.Store(true)
		for i := 1; i < threads; i++ {
			go c.help(i)
		}
		runtime.AddCleanup(w, (*crew).end, c)
	}
	return w
}

// start readies the helpers, until stop.
func (w *workers) start() {
	if c := w.crew; c != nil {
		c.resting.Store(false)
		c.rouse(w.threads - 1)
	}
}

func (w *workers) stop() {
	if w.crew != nil {
		w.crew.resting.Store(true)
	}
}

// end lets the helpers go.
func (c *crew) end() {
	c.ended.Store(true)
	c.posted.Add(1)
	close(c.wake)
}

// rouse wakes up to n of those asleep.
func (c *crew) rouse(n int) {
	for range min(int(c.asleep.Load()), n) {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *crew) help(worker int) {
	var seen uint32
	for !c.ended.Load() {
		if c.await(func() bool { return c.posted.Load() != seen || c.resting.Load() }) && c.posted.Load() != seen {
			seen = c.posted.Load()
			c.work(worker, seen)
			continue
		}
		c.asleep.Add(1)
		if c.posted.Load() == seen {
			<-c.wake
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

// work takes parts of a job until none are left.
func (c *crew) work(worker int, job uint32) {
	for i := range c.shares {
		owner := (worker + i) % len(c.shares)
		s := &c.shares[owner]
		for {
			now := s.state.Load()
			left := int(uint32(now))
			if uint32(now>>32) != job || left == 0 {
				break
			}
			if s.state.CompareAndSwap(now, now-1) {
				c.part(worker, c.n*(owner+1)/len(c.shares)-left)
			}
		}
	}
}

func (c *crew) part(worker, i int) {
	defer func() {
		if p := recover(); p != nil {
			c.failed.CompareAndSwap(nil, &failure{p})
		}
		if c.left.Add(-1) == 0 && worker > 0 {
			select {
			case c.done <- struct{}{}:
			default:
			}
		}
	}()
	c.body(worker, i)
}

// run calls body for the parts 0 to n-1. worker tells threads apart.
func (w *workers) run(n int, body func(worker, part int)) {
	c := w.crew
	if c == nil || n <= 1 || c.resting.Load() {
		for i := range n {
			body(0, i)
		}
		return
	}
	job := c.posted.Load() + 1
	c.body, c.n = body, n
	c.left.Store(int64(n))
	for i := range c.shares {
		c.shares[i].state.Store(uint64(job)<<32 | uint64(n*(i+1)/w.threads-n*i/w.threads))
	}
	c.posted.Store(job)
	c.rouse(n - 1)
	c.work(0, job)
	if !c.await(func() bool { return c.left.Load() == 0 }) {
		for c.left.Load() != 0 {
			<-c.done
		}
	}
	c.body = nil
	if f := c.failed.Swap(nil); f != nil {
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
