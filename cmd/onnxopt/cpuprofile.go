package main

import (
	"os"
	"runtime/pprof"

	"github.com/spf13/pflag"
)

// profiler writes where a run spends its processor time, for go tool pprof.
type profiler struct{ path string }

func (p *profiler) declare(f *pflag.FlagSet) {
	f.StringVar(&p.path, "cpuprofile", "", "write a profile of processor time for go tool pprof")
	f.Lookup("cpuprofile").Hidden = true
}

// start begins the profile, if one is asked for; the returned function ends it.
func (p *profiler) start() (stop func(), err error) {
	if p.path == "" {
		return func() {}, nil
	}
	f, err := os.Create(p.path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
