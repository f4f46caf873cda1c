// Package pass is the frame that passes run in: what a pass declares, the
// context it works with, the runner, and the ledger of everything it did.
package pass

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/lattice"
)

// Pass is one transformation of a model.
type Pass struct {
	Name string
	Doc  string // one line, printed by help
	// Required passes cannot be turned off: later ones rely on them.
	Required bool
	// Group names neighbouring passes that are repeated together until none of
	// them changes anything; "" runs once.
	Group  string
	Effect Effect
	Needs  Facts // must hold before
	Gives  Facts // hold afterwards
	Breaks Facts // may no longer hold afterwards
	Run    func(*Context, *graph.Model) error
}

// Effect is how far outputs may move: the tolerance of verification.
type Effect uint8

const (
	// Exact keeps every bit of every output, NaN payloads aside.
	Exact Effect = iota
	// Close rounds differently: 1e-5 relative to the largest output.
	Close
	// Lossy gives up accuracy on purpose; it is measured, not verified.
	Lossy
)

func (e Effect) String() string { return [...]string{"exact", "close", "lossy"}[e] }

// Facts are properties of a model that passes need, give or break.
type Facts uint16

const (
	// Inlined: no calls of model-local functions.
	Inlined Facts = 1 << iota
	// Folded: constant expressions are initializers.
	Folded
	// Calibrated: the context has activation ranges.
	Calibrated
	// Quantized: QuantizeLinear and DequantizeLinear are in place.
	Quantized
)

// Context is what a pass works with.
type Context struct {
	context.Context
	Settings Settings
	Ledger   *Ledger
	// Samples gives the calibration inputs; nil without data.
	Samples Samples
	// Labels is the right class of each sample; nil without labels.
	Labels []int
	// Calibration is nil to observe all samples and keep nothing.
	Calibration *Calibration
	// Progress reports work done of a long pass; never nil.
	Progress func(done, total int)

	model   *graph.Model
	inputs  []string // of the model when the pipeline began: the order of Samples
	pass    string
	shapes  *shape.Info
	changes int // of the running pass
	size    int // of the model at the start, in bytes
	version int // counts the changes of all passes
	limit   int // rewrites still allowed; negative is unlimited
	asked   int // calls of Allow by the running pass
	// Verification tries a pass with fewer rewrites: only the first most, when
	// not negative, without the denied ones.
	most     int
	denied   map[int]bool
	warnings []string
	lossy    bool // a lossy pass has changed something
	Ranges   Ranges
	// Sensitivity is what search measured, for the report; nil if it did not.
	Sensitivity []Sensitivity
	// Rounded holds the weights whose rounding was chosen by their effect, by
	// name.
	Rounded map[string]*Rounding
	// Grams is what calibration has summed for the passes after it that solve
	// layers by least squares: one for each group of a layerwise.System, by its
	// key.
	Grams map[string][]*lattice.Gram

	list []*Pass // the pipeline
}

// Runs says that the pipeline runs a pass of this name.
func (c *Context) Runs(name string) bool {
	return slices.ContainsFunc(c.list, func(p *Pass) bool { return p.Name == name })
}

// Samples is a set of inputs that can be read any number of times.
type Samples interface {
	// Len is the number of samples.
	Len() int
	// BatchSize is the number of samples that the model takes at once, 0 for
	// any number.
	BatchSize() int
	// Values is samples [from, to) stacked along the first axis, in the order of
	// the graph inputs. With a BatchSize it is filled up by repeating the last.
	Values(from, to int) ([]tensor.Value, error)
}

// BatchSize is how many samples to run at once: what the model or the settings
// say, else as many as hold about a million input elements, at most 50.
func (c *Context) BatchSize() (int, error) {
	if n := c.Samples.BatchSize(); n > 0 {
		return n, nil
	}
	if n := c.Settings.Quant.BatchSize; n > 0 {
		return n, nil
	}
	in, err := c.Samples.Values(0, 1)
	if err != nil {
		return 0, err
	}
	elements := 1
	for _, v := range in {
		if t, ok := v.(*tensor.Tensor); ok {
			elements += t.Len()
		}
	}
	return min(max(1<<20/elements, 1), 50), nil
}

// Calibration is where observations come from and go to.
type Calibration struct {
	// Shard of Shards, counted from 1, is what to observe.
	Shard, Shards int
	// Data identifies the samples and their preparation.
	Data string
	// Set, if given, is used instead of samples; otherwise it is set to what was
	// observed.
	Set *calibrate.Set
	// ObserveOnly chooses no ranges: there is only one shard's part of them.
	ObserveOnly bool
}

// Rounding is a weight rounded to int8.
type Rounding struct {
	Scale  []float32 // one, or one for each output channel, or with blocks [channels][blocks]
	Block  int       // inputs of one scale, 0 for all
	Values []int8    // in the weight's layout
	Shift  []float32 // what the bias gains, for each output channel; nil without a bias
}

// Step is the scale of the weight from one of some inputs to a channel.
func (r *Rounding) Step(channel, input, inputs int) float32 {
	if r.Block > 0 {
		return r.Scale[channel*((inputs+r.Block-1)/r.Block)+input/r.Block]
	}
	return r.Scale[min(channel, len(r.Scale)-1)]
}

// Ranges is the calibrated range of each value, by name.
type Ranges map[string]Range

// Range is the calibrated range of one value, and how it was found.
type Range struct {
	calibrate.Choice
	// Unbounded says what the value holds that no scale can represent: NaN or
	// infinities. "" is nothing.
	Unbounded string
	Sketch    *calibrate.Sketch
}

// Settings are the user's choices, over all passes. The zero value of a field
// is its default.
type Settings struct {
	// MaxFold bounds, in bytes, a tensor that constant folding makes larger
	// than its inputs. 0 is 4 MiB, and the model may not grow: folding spends
	// only what other rewrites saved.
	MaxFold int
	// Opset raises the model to this version of ai.onnx; 0 keeps it.
	Opset int64
	// InputShapes fixes shapes of graph inputs, Dims fixes symbols.
	InputShapes map[string][]int64
	Dims        map[string]int64
	Quant       QuantSettings
	Prune       PruneSettings
	Cluster     ClusterSettings
	Seed        uint64
	Threads     int    // 0 is 1
	Device      string // runtime.Options.Device, for trials of quantized models
}

// QuantSettings are the choices of quantization.
type QuantSettings struct {
	// Profile names the target: portable (default), onnxruntime, openvino,
	// tensorrt, opencv, tract.
	Profile string
	// Method is minmax, moving-average, percentile, entropy, mse or auto
	// (default).
	Method     string
	Percentile float64 // 0 is 99.99
	// WeightBits is 8 (default) or 4; ActivationBits 8 (default) or 16.
	WeightBits, ActivationBits int
	// BlockSize, if positive, gives every so many weights along the input axis a
	// scale of their own, where weights stay out of integer products.
	BlockSize            int
	NBits                bool // blocks are written as com.microsoft.MatMulNBits
	PerTensor            bool // weights get one scale instead of one per channel
	SymmetricActivations bool
	ReduceRange          bool     // 7-bit weights, for CPUs whose u8 x s8 products saturate
	Half16               string   // float16 (default) or bfloat16, in preset float16
	Skip                 []string // node names or operators left alone
	Half                 []string // node names left in float, with weights in float16
	Float                []string // node names left in float, with weights in WeightBits
	BatchSize            int      // samples run at once in calibration; 0 chooses
	// MinSQNR is the least SQNR of an output in dB that search accepts; 0 is 20,
	// negative accepts anything.
	MinSQNR float64
	// MaxDrop, if given, is what search accepts instead of a MinSQNR of 0: so many
	// points of top-1 lost, or without labels of agreement with the float model.
	MaxDrop *float64
	// Sensitivity measures every layer even if the whole is good enough.
	Sensitivity bool
}

// PruneSettings are the choices of pruning.
type PruneSettings struct {
	// Reconstruct prunes by least squares on samples instead of by magnitude.
	Reconstruct bool
	// N and M, when set, keep N of every M consecutive weights of an output.
	N, M      int
	Threshold float64 // weights of at most this magnitude become zero
	Sparsity  float64 // share of weights to make zero, in (0, 1)
	Global    bool    // one threshold over all layers instead of one each
	Channels  float64 // share of channels, neurons and heads to remove, in (0, 1)
}

// ClusterSettings are the choices of weight clustering.
type ClusterSettings struct {
	Values int // size of a codebook, 2 to 256; 0 is 16 in preset small
}

// Sensitivity is the SQNR in dB of the model's outputs when one layer alone is
// quantized.
type Sensitivity struct {
	Node string  `json:"node"`
	Op   string  `json:"op"`
	SQNR float64 `json:"sqnr_db"`
}

// Fork is a context for a trial on another model with the same values: it has
// the ranges and roundings of c, settings s, and a ledger of its own.
func (c *Context) Fork(m *graph.Model, s Settings) *Context {
	f := &Context{Context: c.Context, Settings: s, Ledger: &Ledger{}, Samples: c.Samples, Labels: c.Labels, Progress: func(int, int) {}, model: m, inputs: c.inputs,
		pass: c.pass, size: c.size, limit: -1, most: -1, Ranges: c.Ranges, Rounded: maps.Clone(c.Rounded)}
	return f
}

// Room is by how many bytes the model may still grow before it is larger than
// it was at the start.
func (c *Context) Room() int { return c.size - onnx.Size(c.model) }

// Model is the model that is being worked on.
func (c *Context) Model() *graph.Model { return c.model }

// Values is samples [from, to) in the order of m's inputs, which may be fewer
// than those the pipeline began with.
func (c *Context) Values(m *graph.Model, from, to int) ([]tensor.Value, error) {
	all, err := c.Samples.Values(from, to)
	if err != nil {
		return nil, err
	}
	in := make([]tensor.Value, len(m.Graph.Inputs()))
	for i, v := range m.Graph.Inputs() {
		if k := slices.Index(c.inputs, v.Name); k >= 0 && k < len(all) {
			in[i] = all[k]
		}
	}
	return in, nil
}

// Shapes is the inferred types of the model as it is now. They are computed
// on first use and again after a reported change.
func (c *Context) Shapes() *shape.Info {
	if c.shapes == nil {
		c.shapes = shape.Infer(c.model)
	}
	return c.shapes
}

// Allow asks whether one more rewrite may be done; a pass asks before every
// single rewrite, which is what lets bisection find the one at fault. After a
// refusal later rewrites may be allowed again.
func (c *Context) Allow() bool {
	c.asked++
	if c.limit == 0 || c.most >= 0 && c.asked > c.most || c.denied[c.asked-1] {
		return false
	}
	if c.limit > 0 {
		c.limit--
	}
	c.Ledger.Rewrites++
	return true
}

// Changed records that a rewrite was done at a node and invalidates Shapes.
func (c *Context) Changed(n *graph.Node, format string, args ...any) {
	c.changes++
	c.version++
	c.shapes = nil
	c.Ledger.add(Entry{c.pass, nodeName(n), nodeOp(n), Changed, fmt.Sprintf(format, args...)})
}

// Kept records why a node was left as it is.
func (c *Context) Kept(n *graph.Node, format string, args ...any) {
	c.Ledger.add(Entry{c.pass, nodeName(n), nodeOp(n), Kept, fmt.Sprintf(format, args...)})
}

// ChangedModel records a change of the whole model.
func (c *Context) ChangedModel(format string, args ...any) {
	c.changes++
	c.version++
	c.shapes = nil
	c.Ledger.add(Entry{c.pass, "", "", Changed, fmt.Sprintf(format, args...)})
}

// ChangedValue records a change of an initializer.
func (c *Context) ChangedValue(v *graph.Value, format string, args ...any) {
	c.changes++
	c.version++
	c.shapes = nil
	c.Ledger.add(Entry{c.pass, v.Name, "", Changed, fmt.Sprintf(format, args...)})
}

// Warn records something about the whole model that the user must know.
func (c *Context) Warn(format string, args ...any) {
	c.Ledger.add(Entry{c.pass, "", "", Warning, fmt.Sprintf(format, args...)})
}

// KeepShapes says that the changes since the last call of Shapes left all
// types of the surviving values as they were, so that they need no new
// inference.
func (c *Context) KeepShapes(s *shape.Info) { c.shapes = s }

func nodeName(n *graph.Node) string {
	if n == nil {
		return ""
	}
	if n.Name != "" {
		return n.Name
	}
	if o := n.Out(0); o != nil {
		return o.Name
	}
	return ""
}

func nodeOp(n *graph.Node) string {
	if n == nil {
		return ""
	}
	return n.Op
}
