package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
	"onnxopt/runtime/engine"
	"onnxopt/runtime/samples"
)

var benchVerb = verb{
	name: "bench", args: "MODEL [--against OTHER]", minArgs: 1, maxArgs: 1,
	doc:     "measure latency, throughput and memory of a model, or of two in turn, on samples or random inputs",
	example: "onnxopt bench model.onnx --against model.opt.onnx --threads 2 --profile",
	setup: func(f *pflag.FlagSet) func(*call) error {
		b := &bench{}
		f.StringVar(&b.against, "against", "", "another model, measured in turn with the first")
		b.dataFlags.declare(f)
		f.StringVar(&b.engine, "engine", "", "another runtime, measured in turn: onnxruntime, by the program onnxopt-onnxruntime")
		f.StringVar(&b.library, "engine-library", "", "the engine's shared library (default $ONNXOPT_ONNXRUNTIME)")
		f.IntVar(&b.batch, "batch", 1, "samples at once")
		f.IntVar(&b.runs, "runs", 0, "runs, 0 for as many as take --seconds")
		f.Float64Var(&b.seconds, "seconds", 3, "time to spend, warming up included")
		f.IntVar(&b.threads, "threads", 1, "threads")
		f.BoolVar(&b.reference, "reference", false, "use the reference evaluation only")
		f.BoolVar(&b.profile, "profile", false, "show the time of every step, and GFLOP/s of each kind of layer against the measured peak")
		f.StringVar(&b.trace, "trace", "", "write one run as a Chrome trace (JSON)")
		f.BoolVar(&b.serve, "serve", false, "run once for each line of standard input and answer with the nanoseconds: for scripts that interleave engines")
		f.BoolVar(&b.json, "json", false, "print JSON")
		return b.run
	},
}

type bench struct {
	dataFlags
	against, engine, library        string
	batch, runs, threads            int
	seconds                         float64
	reference, profile, serve, json bool
	trace                           string
}

// measured is the result for one model.
type measured struct {
	Model   string `json:"model"`
	Threads int    `json:"threads"`
	Batch   int    `json:"batch"`
	Runs    int    `json:"runs"`
	// Milliseconds.
	Load       float64    `json:"load_ms"` // reading the file and compiling
	First      float64    `json:"first_ms"`
	Min        float64    `json:"min_ms"`
	Median     float64    `json:"median_ms"`
	P90        float64    `json:"p90_ms"`
	P99        float64    `json:"p99_ms"`
	Throughput float64    `json:"samples_per_s"` // at the median
	Heap       uint64     `json:"heap_bytes"`    // that running holds beyond the model
	Steps      []stepTime `json:"steps,omitempty"`
	Kinds      []kindTime `json:"kinds,omitempty"`
	Peak       float64    `json:"peak_gflops,omitempty"`
	times      []float64  // of each run
	session    *runtime.Session
	in         []tensor.Value
	events     []runtime.Step
	profiling  bool
	other      *engine.Engine // the same model there, measured in turn
	Engine     *engineTime    `json:"engine,omitempty"`
}

// engineTime is the result for the same model in another runtime, in
// milliseconds.
type engineTime struct {
	Name   string  `json:"name"`
	Load   float64 `json:"load_ms"` // of the library and the model
	First  float64 `json:"first_ms"`
	Min    float64 `json:"min_ms"`
	Median float64 `json:"median_ms"`
	times  []float64
}

// stepTime is the least time of one step.
type stepTime struct {
	Node    string  `json:"node"`
	Op      string  `json:"op"` // of all nodes that the step covers
	Path    string  `json:"path"`
	Micros  float64 `json:"us"`
	Percent float64 `json:"percent"`
	GFLOPS  float64 `json:"gflops,omitempty"`
	work    int64
}

// kindTime sums the steps of one kind.
type kindTime struct {
	Kind    string  `json:"kind"`
	Steps   int     `json:"steps"`
	Micros  float64 `json:"us"`
	Percent float64 `json:"percent"`
	GFLOPS  float64 `json:"gflops,omitempty"`
	work    int64
}

func (b *bench) run(c *call) error {
	paths := []string{c.args[0]}
	if b.against != "" {
		paths = append(paths, b.against)
	}
	var models []*measured
	for _, path := range paths {
		m, err := b.prepare(c, path)
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	if b.engine != "" {
		if err := b.startEngine(c, models[0]); err != nil {
			return err
		}
		defer models[0].other.Close()
	}
	if b.serve {
		return b.answer(c, models[0])
	}
	if err := b.measure(c, models); err != nil {
		return err
	}
	for _, m := range models {
		if b.profile || b.trace != "" {
			if err := b.profiled(c, m); err != nil {
				return err
			}
		}
		m.summarize()
	}
	if b.trace != "" {
		if err := writeTrace(c, b.trace, models[0].events); err != nil {
			return err
		}
	}
	if b.json {
		return writeJSON(c.out, models)
	}
	for _, m := range models {
		m.print(c.out)
	}
	if len(models) == 2 {
		fmt.Fprintf(c.out, "%s takes %.2f times as long as %s\n", models[1].Model, models[1].Median/models[0].Median, models[0].Model)
	}
	return nil
}

// prepare loads and compiles a model and runs it once.
func (b *bench) prepare(c *call, path string) (*measured, error) {
	r := &measured{Model: path, Threads: b.threads, Batch: b.batch}
	start := time.Now()
	m, err := loadModel(path)
	if err != nil {
		return nil, err
	}
	before := heap()
	compiled := time.Now()
	r.session, err = runtime.Compile(m, runtime.Options{Reference: b.reference, Threads: b.threads, Profile: r.see})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.Load = ms(time.Since(compiled) + compiled.Sub(start))
	if r.in, err = b.inputs(m); err != nil {
		return nil, err
	}
	start = time.Now()
	for i := range 2 { // the first run plans the memory of the second
		if _, err := r.session.Run(c, r.in); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if i == 0 {
			r.First = ms(time.Since(start))
		}
	}
	r.Heap = heap() - before
	return r, nil
}

func heap() uint64 {
	var s goruntime.MemStats
	debug.FreeOSMemory()
	goruntime.ReadMemStats(&s)
	return s.HeapAlloc
}

func (b *bench) inputs(m *graph.Model) ([]tensor.Value, error) {
	var set *samples.Set
	var err error
	if b.data == "" {
		set, err = samples.Random(inputsOf(m.Graph.Inputs()), max(b.batch, 1), 1)
	} else {
		set, err = b.open(m, samples.Evaluation)
	}
	if err != nil {
		return nil, err
	}
	defer set.Close()
	n := max(b.batch, 1)
	if set.BatchSize() > 0 {
		n = set.BatchSize()
	}
	return set.Values(0, min(n, set.Len()))
}

func (r *measured) see(s runtime.Step) {
	if r.profiling {
		r.events = append(r.events, s)
	}
}

// measure runs the models in turn.
func (b *bench) measure(c *call, models []*measured) error {
	end := time.Now().Add(time.Duration(b.seconds * float64(time.Second)))
	for k := 0; b.runs > 0 && k < b.runs || b.runs == 0 && (k < 3 || time.Now().Before(end)); k++ {
		for _, m := range models {
			start := time.Now()
			if _, err := m.session.Run(c, m.in); err != nil {
				return fmt.Errorf("%s: %w", m.Model, err)
			}
			m.times = append(m.times, ms(time.Since(start)))
			if m.other == nil {
				continue
			}
			_, took, err := m.other.Run(m.in)
			if err != nil {
				return err
			}
			if b.threads > 1 {
				time.Sleep(enginePause)
			}
			m.Engine.times = append(m.Engine.times, ms(took))
		}
	}
	return nil
}

// enginePause lets an engine's threads fall asleep, which else would wait busily on our cores.
const enginePause = 50 * time.Millisecond

// startEngine loads the model into the other runtime and runs it once there.
func (b *bench) startEngine(c *call, m *measured) (err error) {
	if m.other, err = engine.Start(c, b.engine, m.Model, engine.Options{Threads: b.threads, Library: b.library}); err != nil {
		return err
	}
	_, first, err := m.other.Run(m.in)
	m.Engine = &engineTime{Name: b.engine + " " + m.other.Version, Load: ms(m.other.Load), First: ms(first)}
	return err
}

// answer runs the model once for each line of standard input.
func (b *bench) answer(c *call, m *measured) error {
	var line [1]byte
	fmt.Fprintf(c.out, "ready %.3f %.3f %d\n", m.Load, m.First, m.Heap)
	for {
		if _, err := os.Stdin.Read(line[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if line[0] != '\n' {
			continue
		}
		start := time.Now()
		if _, err := m.session.Run(c, m.in); err != nil {
			return err
		}
		fmt.Fprintln(c.out, time.Since(start).Nanoseconds())
	}
}

// profiled runs m a few times and keeps the least time of every step, so that
// other load on the machine counts little.
func (b *bench) profiled(c *call, m *measured) error {
	const runs = 15
	m.profiling = true
	var all [][]runtime.Step
	for range runs {
		m.events = nil
		if _, err := m.session.Run(c, m.in); err != nil {
			return err
		}
		all = append(all, m.events)
	}
	m.profiling = false
	total := 0.0
	for i, e := range m.events {
		var t []float64
		for _, run := range all {
			if i < len(run) {
				t = append(t, float64(run[i].Duration.Nanoseconds())/1e3)
			}
		}
		s := stepTime{Node: "-", Path: e.Path, Micros: slices.Min(t), work: e.Work}
		var ops []string
		for _, n := range e.Covered {
			ops = append(ops, n.Op)
		}
		if e.Node != nil {
			s.Node = e.Node.Name
			if ops == nil {
				ops = []string{e.Node.Op}
			}
		}
		if e.Path == "layout" {
			ops = []string{"layout"}
		}
		s.Op = strings.Join(ops, "+")
		if s.work > 0 {
			s.GFLOPS = float64(s.work) / s.Micros / 1e3
		}
		total += s.Micros
		m.Steps = append(m.Steps, s)
	}
	if !b.profile {
		m.Steps = nil
		return nil
	}
	m.kinds(total)
	m.Peak = runtime.Peak() * float64(b.threads)
	return nil
}

func (m *measured) kinds(total float64) {
	index := map[string]int{}
	for i := range m.Steps {
		s := &m.Steps[i]
		s.Percent = 100 * s.Micros / total
		key := s.Path + " " + s.Op
		k, ok := index[key]
		if !ok {
			k = len(m.Kinds)
			index[key] = k
			m.Kinds = append(m.Kinds, kindTime{Kind: key})
		}
		m.Kinds[k].Steps++
		m.Kinds[k].Micros += s.Micros
		m.Kinds[k].Percent += s.Percent
		m.Kinds[k].work += s.work
	}
	for i := range m.Kinds {
		if k := &m.Kinds[i]; k.work > 0 {
			k.GFLOPS = float64(k.work) / k.Micros / 1e3
		}
	}
	slices.SortStableFunc(m.Kinds, func(a, b kindTime) int { return int(b.Micros - a.Micros) })
}

func (m *measured) summarize() {
	t := slices.Sorted(slices.Values(m.times))
	at := func(q float64) float64 { return t[min(int(q*float64(len(t))), len(t)-1)] }
	m.Runs, m.Min, m.Median, m.P90, m.P99 = len(t), t[0], at(0.5), at(0.9), at(0.99)
	m.Throughput = float64(m.Batch) * 1e3 / m.Median
	if e := m.Engine; e != nil {
		t := slices.Sorted(slices.Values(e.times))
		e.Min, e.Median = t[0], t[len(t)/2]
	}
}

func (m *measured) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d threads, batch %d, %d runs\n", m.Model, m.Threads, m.Batch, m.Runs)
	fmt.Fprintf(w, "  latency     min %.3f ms, median %.3f, 90 %% %.3f, 99 %% %.3f\n", m.Min, m.Median, m.P90, m.P99)
	fmt.Fprintf(w, "  throughput  %.1f samples/s\n", m.Throughput)
	fmt.Fprintf(w, "  start       load and compile %.1f ms, first run %.1f ms\n", m.Load, m.First)
	fmt.Fprintf(w, "  memory      %s beyond the model\n", bytesText(int64(m.Heap)))
	if e := m.Engine; e != nil {
		fmt.Fprintf(w, "  %s: min %.3f ms, median %.3f, %.2f and %.2f times this; load %.1f ms, first run %.1f ms, %.2f times this to the first answer\n",
			e.Name, e.Min, e.Median, e.Min/m.Min, e.Median/m.Median, e.Load, e.First, (e.Load+e.First)/(m.Load+m.First))
	}
	if len(m.Steps) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nus\t%%\tGFLOP/s\tpath\tnodes\t name\n")
	for _, s := range m.Steps {
		fmt.Fprintf(t, "%.1f\t%.1f\t%s\t%s\t%s\t %s\n", s.Micros, s.Percent, number(s.GFLOPS), s.Path, s.Op, s.Node)
	}
	fmt.Fprintf(t, "\nus\t%%\tGFLOP/s\tof peak\tsteps\t kind\n")
	for _, k := range m.Kinds {
		share := ""
		if k.GFLOPS > 0 && m.Peak > 0 {
			share = fmt.Sprintf("%.0f %%", 100*k.GFLOPS/m.Peak)
		}
		fmt.Fprintf(t, "%.1f\t%.1f\t%s\t%s\t%d\t %s\n", k.Micros, k.Percent, number(k.GFLOPS), share, k.Steps, k.Kind)
	}
	t.Flush()
	fmt.Fprintf(w, "measured peak %.1f GFLOP/s\n", m.Peak)
}

func number(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", x)
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// writeTrace writes steps in the format of chrome://tracing and Perfetto.
func writeTrace(c context.Context, path string, steps []runtime.Step) error {
	type event struct {
		Name  string            `json:"name"`
		Cat   string            `json:"cat"`
		Phase string            `json:"ph"`
		Start float64           `json:"ts"`
		Time  float64           `json:"dur"`
		PID   int               `json:"pid"`
		TID   int               `json:"tid"`
		Args  map[string]string `json:"args"`
	}
	var events []event
	for _, s := range steps {
		e := event{Name: s.Path, Cat: s.Path, Phase: "X", Start: float64(s.Start.Sub(steps[0].Start).Nanoseconds()) / 1e3,
			Time: float64(s.Duration.Nanoseconds()) / 1e3, Args: map[string]string{}}
		if s.Node != nil {
			e.Name, e.Args["node"] = s.Node.Op, s.Node.Name
		}
		events = append(events, e)
	}
	data, err := json.Marshal(map[string]any{"traceEvents": events, "displayTimeUnit": "ms"})
	if err != nil {
		return err
	}
	return writeBytes(c, path, data)
}
