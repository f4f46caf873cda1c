package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// limits bound what one run may take.
type limits struct {
	timeout time.Duration
	memory  string
}

func (l *limits) declare(f *pflag.FlagSet) {
	f.DurationVar(&l.timeout, "timeout", 0, "give up after this time, such as 90s (default none)")
	f.StringVar(&l.memory, "max-memory", "", "give up beyond this memory, such as 500MB or 8GB (default 90 % of the machine's)")
}

// grace is how long a run may take to end by itself once it is cancelled;
// some operators do not look up from their work.
const grace = time.Second

// enforce cancels the run when a limit is passed or parent ends, and ends the
// process if that does not help. Files are written aside and renamed, so none
// is left half; what lies aside, the next run removes. The returned function lifts the limits.
func (l *limits) enforce(parent context.Context, die func(error)) (context.Context, func(), error) {
	most := physicalMemory() / 10 * 9
	if l.memory != "" {
		n, err := parseBytes(l.memory)
		if err != nil {
			return nil, nil, fmt.Errorf("--max-memory: %w", err)
		}
		most = n
	}
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go l.watch(ctx, cancel, most, done, die)
	return ctx, func() { close(done); cancel(nil) }, nil
}

func (l *limits) watch(ctx context.Context, cancel context.CancelCauseFunc, most int64, done chan struct{}, die func(error)) {
	var late <-chan time.Time
	if l.timeout > 0 {
		late = time.After(l.timeout)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-done:
			return
		case <-ctx.Done():
		case <-late:
			cancel(fmt.Errorf("not done after --timeout %v", l.timeout))
		case <-tick.C:
			if used := memoryInUse(); most > 0 && used > most {
				cancel(fmt.Errorf("more than --max-memory: %d of %d MB", used>>20, most>>20))
			}
		}
	}
	select {
	case <-done:
	case <-time.After(grace):
		die(stopped(context.Cause(ctx)))
	}
}

// stopped is the error of a run that a limit or the user ended.
func stopped(cause error) error {
	if errors.Is(cause, context.Canceled) {
		return errors.New("interrupted: no file was written in part")
	}
	return cause
}

// memoryInUse is the bytes that the Go runtime holds from the system.
func memoryInUse() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

// parseBytes reads 500MB, 8GB, 1.5GiB or a plain number.
func parseBytes(s string) (int64, error) {
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		size   int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		if t, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = strings.TrimSpace(t), u.size
			break
		}
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || !(x > 0) || x*float64(unit) > 1<<62 {
		return 0, errors.New("want a size such as 500MB or 8GB")
	}
	return int64(x * float64(unit)), nil
}

// exitNow ends the process as an error of the run would.
func exitNow(err error) {
	fmt.Fprintf(os.Stderr, "onnxopt: %v\n", err)
	os.Exit(1)
}
