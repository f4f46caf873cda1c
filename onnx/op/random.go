package op

import (
	"errors"
	"math"
	"math/rand/v2"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// random is the generator of a random operator: of its seed attribute, else of
// the run.
func (e *Eval) random() *rand.Rand {
	if a := e.Node.Attr("seed"); a != nil {
		return rand.New(rand.NewPCG(uint64(a.I), uint64(math.Float32bits(a.F))))
	}
	if e.Env.Rand == nil {
		e.Env.Rand = rand.New(rand.NewPCG(0, 0))
	}
	return e.Env.Rand
}

// draw makes one random number from a distribution that attributes describe.
type draw func(a *Attrs, r *rand.Rand) float64

func drawNormal(a *Attrs, r *rand.Rand) float64 {
	return a.Float("mean") + a.Float("scale")*r.NormFloat64()
}

func drawUniform(a *Attrs, r *rand.Rand) float64 {
	low := a.Float("low")
	return low + (a.Float("high")-low)*r.Float64()
}

// randomShape completes d as random numbers of the shape and type that the
// attributes give.
func randomShape(d *Def, f draw) *Def {
	d.Flags |= Random
	d.Infer = func(f *Infer) error {
		if err := f.setElemAttr("dtype"); err != nil {
			return err
		}
		f.Set(0, graph.Dims(f.Attrs.Ints("shape"))...)
		return nil
	}
	d.Eval = func(e *Eval) error {
		t, err := e.elemType("dtype")
		if err != nil {
			return err
		}
		return e.fillRandom(t, e.Ints("shape"), f)
	}
	return d
}

// randomLike completes d as random numbers of the input's shape and, without
// dtype, its type.
func randomLike(d *Def, f draw) *Def {
	d.Flags |= Random
	d.Infer = inferLike
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		t, err := e.typeLike(x)
		if err != nil {
			return err
		}
		return e.fillRandom(t, x.Shape, f)
	}
	return d
}

// inferLike is the shape rule of outputs like input 0 with an optional dtype.
func inferLike(f *Infer) error {
	f.SetElem(0, f.Type(0).Elem)
	if f.Has("dtype") {
		if err := f.setElemAttr("dtype"); err != nil {
			return err
		}
	}
	return sameShape(f)
}

// typeLike is the attribute dtype, else the type of x.
func (e *Eval) typeLike(x *tensor.Tensor) (tensor.DType, error) {
	if e.Has("dtype") {
		return e.elemType("dtype")
	}
	return x.Type, nil
}

func (e *Eval) fillRandom(t tensor.DType, shape []int, f draw) error {
	if !t.IsFloat() {
		return errors.New("random numbers of element type " + t.String())
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	r, v := e.random(), make([]float64, volume(shape))
	for i := range v {
		v[i] = f(&e.Attrs, r)
	}
	e.Set(0, tensor.FromFloats(t, shape, v))
	return nil
}
