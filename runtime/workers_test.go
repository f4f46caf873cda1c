package runtime

import (
	"sync/atomic"
	"testing"
	"time"
)

// Every part runs once, no two threads with one number at a time, also when
// helpers fell asleep or a run ends at once.
func TestWorkers(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 5} {
		w := newWorkers(threads)
		for round := range 50 {
			w.start()
			for step := range 20 {
				n := (round*7 + step*3) % 11
				counts := make([]atomic.Int32, n)
				busy := make([]atomic.Int32, threads)
				w.run(n, func(worker, part int) {
					if busy[worker].Add(1) != 1 {
						t.Errorf("two parts at once as worker %d", worker)
					}
					counts[part].Add(1)
					busy[worker].Add(-1)
				})
				for part := range counts {
					if c := counts[part].Load(); c != 1 {
						t.Fatalf("%d threads, part %d of %d ran %d times", threads, part, n, c)
					}
				}
				if round%10 == 0 && step == 10 {
					time.Sleep(3 * patience) // helpers fall asleep
				}
			}
			w.stop()
		}
	}
}

func TestWorkersPassPanics(t *testing.T) {
	w := newWorkers(3)
	w.start()
	defer w.stop()
	defer func() {
		if recover() != "part 3" {
			t.Error("the panic of a part was lost")
		}
	}()
	w.run(5, func(_, part int) {
		if part == 3 {
			panic("part 3")
		}
	})
}
