// Package passes is the pipelines: which passes run, in which order, and why
// in that order.
package passes

import (
	"fmt"
	"slices"

	"onnxopt/passes/clean"
	"onnxopt/passes/cluster"
	"onnxopt/passes/encode"
	"onnxopt/passes/fold"
	"onnxopt/passes/fuse"
	"onnxopt/passes/pass"
	"onnxopt/passes/prune"
	"onnxopt/passes/quant"
	"onnxopt/passes/search"
)

// Table is every pass, in the order in which pipelines run them.
var Table = []pass.Pass{
	quant.Freeze,
	quant.Raise,
	clean.FixShapes,
	clean.Inline,
	clean.Repair,
	clean.Opset,
	clean.Identity,
	fold.Constants,
	fold.Shapes,
	fold.Reshapes,
	clean.Control,
	clean.Chains,
	clean.Transposes,
	clean.States,
	fuse.BatchNorm,
	fuse.Affine,
	fuse.Activations,
	fuse.Norms,
	fuse.Attention,
	clean.Duplicates,
	prune.Channels,
	prune.Magnitude,
	prune.Reconstruct,
	prune.DeadUnits,
	quant.Prepare,
	quant.Equalize,
	quant.Smooth,
	quant.Calibrate,
	quant.Round,
	search.Mixed,
	quant.Insert,
	quant.QOperator,
	quant.Dynamic,
	quant.Blocks,
	quant.Weights,
	quant.Half,
	prune.PadChannels,
	prune.SortUnits,
	cluster.KMeans,
	encode.RoundBiases,
	encode.Weights,
	clean.Dead,
	fuse.Parallel,
	encode.DefaultAttributes,
	encode.ShortNames,
}

// Order is what the table's order must keep, and why. A test checks it.
var Order = []Before{
	{"freeze-defaults", "constant-folding", "a default that a caller could override is no constant"},
	{"raise-opset", "constant-folding", "a conversion leaves constant expressions"},
	{"inline-functions", "target-opset", "a function has an opset of its own"},
	{"target-opset", "fuse-activations", "the operators of the new opset are fused into"},
	{"identity", "constant-folding", "an Identity or Cast between a constant and its reader would hide the constant"},
	{"constant-folding", "fuse-batchnorm", "parameters behind Constant nodes must be initializers"},
	{"reshape-targets", "dead-code", "the computation of the target is left behind"},
	{"fuse-batchnorm", "quantize", "a BatchNormalization behind a convolution would need a scale of its own"},
	{"fuse-affine", "quantize", "a bias behind a convolution would need a scale of its own"},
	{"fuse-batchnorm", "prune-channels", "the norm of a channel's weights means nothing before its BatchNormalization"},
	{"prune-channels", "prune-magnitude", "the share of zeros is that of the weights that are left"},
	{"prune-magnitude", "dead-units", "pruning makes the zeros"},
	{"prune-channels", "prune-reconstruct", "the share of zeros is that of the weights that are left"},
	{"prune-reconstruct", "dead-units", "pruning makes the zeros"},
	{"prune-reconstruct", "calibrate", "the ranges must be those of the pruned model"},
	{"prune-reconstruct", "cluster-weights", "zero must be one of the shared values"},
	{"dead-units", "calibrate", "weights must be counted without the dead ones"},
	{"prune-magnitude", "calibrate", "the ranges must be those of the pruned model"},
	{"prune-magnitude", "cluster-weights", "zero must be one of the shared values"},
	{"constant-folding", "prepare-quantization", "what is constant anyway needs no copy"},
	{"prepare-quantization", "equalize-layers", "weights of layers must be initializers"},
	{"equalize-layers", "smooth-activations", "it sees the channels of the equalized model"},
	{"smooth-activations", "calibrate", "the ranges must be those of the scaled channels"},
	{"prepare-quantization", "calibrate", "layers are calibrated in the form that is quantized"},
	{"quantize", "quantize-weights", "only what got no integer form is stored in fewer bits"},
	{"quantize", "qoperator", "it joins what quantize wrote"},
	{"quantize", "quantize-blocks", "weights of integer products have their scales there"},
	{"quantize-blocks", "quantize-weights", "what got no blocks is stored with a scale for each channel"},
	{"quantize-dynamic", "quantize-weights", "only what got no integer form is stored in fewer bits"},
	{"half-precision", "dead-code", "the float weights are left behind"},
	{"quantize-weights", "dead-code", "the float weights are left behind"},
	{"calibrate", "round-weights", "weights are rounded for the layers that calibration chose"},
	{"round-weights", "quantize", "the chosen rounding is what quantize writes"},
	{"round-weights", "mixed-precision", "trials measure what will be written"},
	{"mixed-precision", "quantize", "it chooses what quantize leaves alone"},
	{"calibrate", "quantize", "activation scales come from the ranges"},
	{"quantize", "dead-code", "the float weights are left behind"},
	{"fuse-affine", "join-parallel", "a constant behind a branch becomes part of its own weights"},
	{"quantize", "join-parallel", "values that become one share a scale"},
	{"cluster-weights", "join-parallel", "weights that become one share a codebook"},
	{"dead-code", "join-parallel", "a reader that is dead keeps a branch from being a chain"},
	{"dead-units", "encode-weights", "zeros are cheapest where they are not written at all"},
	{"round-biases", "encode-weights", "rounded biases take a byte each"},
	{"dead-units", "pad-channels", "dead units would be padded, and padding removed"},
	{"pad-channels", "encode-weights", "units are followed through plain weights"},
	{"sort-units", "encode-weights", "units are followed through plain weights"},
	{"encode-weights", "dead-code", "the float weights are left behind"},
	{"encode-weights", "short-names", "decoders have many inner values"},
	{"sort-units", "cluster-weights", "units are followed through plain weights"},
	{"cluster-weights", "dead-code", "the float weights are left behind"},
}

// Before says that pass First runs before pass Then.
type Before struct{ First, Then, Why string }

var simplify = []string{"fix-shapes", "inline-functions", "repair", "target-opset", "identity", "constant-folding", "shape-computation", "reshape-targets", "control-flow",
	"merge-chains", "move-transposes", "zero-states", "fuse-batchnorm", "fuse-affine", "fuse-activations", "fuse-normalization", "fuse-attention", "common-subexpressions", "dead-code"}

var int8Passes = []string{"freeze-defaults", "raise-opset", "prepare-quantization", "calibrate", "round-weights", "mixed-precision", "quantize", "quantize-blocks", "quantize-weights"}

// Presets are named sets of passes.
var Presets = []Preset{
	{"simplify", "the smallest equal graph", append(slices.Clone(simplify), "join-parallel")},
	{"int8", "simplify, then 8-bit weights and activations", append(slices.Clone(simplify), int8Passes...)},
	{"weights", "simplify, then 8- or 4-bit weights and float arithmetic", append(slices.Clone(simplify), "freeze-defaults", "raise-opset", "prepare-quantization", "quantize-blocks", "quantize-weights")},
	{"dynamic", "simplify, then 8-bit weights and activations whose ranges are found at run time", append(slices.Clone(simplify), "freeze-defaults", "raise-opset", "prepare-quantization", "quantize-dynamic", "quantize-weights")},
	{"float16", "simplify, then float16 or bfloat16 arithmetic", append(slices.Clone(simplify), "freeze-defaults", "raise-opset", "half-precision")},
	{"small", "simplify, then shared weights: float arithmetic, a quarter of the size", append(slices.Clone(simplify), "cluster-weights", "encode-weights")},
	{"smallest", "small, then every byte that only people read", append(slices.Clone(simplify), "dead-units", "sort-units", "cluster-weights", "encode-weights", "default-attributes", "short-names")},
}

// Preset is one of Presets.
type Preset struct {
	Name, Doc string
	Passes    []string
}

// Pipeline is the passes of a preset, with more names added, in table order.
func Pipeline(preset string, more ...string) ([]pass.Pass, error) {
	i := slices.IndexFunc(Presets, func(p Preset) bool { return p.Name == preset })
	if i < 0 {
		return nil, fmt.Errorf("unknown preset %q", preset)
	}
	return Select(append(slices.Clone(Presets[i].Passes), more...))
}

// Select is the named passes in table order.
func Select(names []string) ([]pass.Pass, error) {
	var out []pass.Pass
	for _, p := range Table {
		if slices.Contains(names, p.Name) {
			out = append(out, p)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(Table, func(p pass.Pass) bool { return p.Name == n }) {
			return nil, fmt.Errorf("unknown pass %q: see onnxopt passes", n)
		}
	}
	return out, nil
}
