package distill

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/compare"
	"onnxopt/runtime/grad"
)

// Options of a Trainer. The zero value is a fair fine-tuning.
type Options struct {
	Targets
	Augment Augment
	Steps   int     // 0 is 1000
	Batch   int     // 0 is 128
	Rate    float64 // peak of the learning rate, falling as a cosine; 0 is 1e-3
	Seed    uint64
	Threads int
}

// Scores is what evaluation found.
type Scores struct {
	Samples   int     `json:"samples"`
	Loss      float64 `json:"loss"`               // of the soft targets
	Agreement float64 `json:"agreement"`          // share of samples with the teacher's top class
	Accuracy  float64 `json:"accuracy,omitempty"` // share right, with labels
}

// Trainer trains the weights of a model. Values of weights derive from latent
// ones, which the optimizer changes, by Derive; without Derive they are the
// same.
type Trainer struct {
	Program *grad.Program
	Latent  [][]float32 // by Program.Params
	Adam    grad.Adam
	Step    int
	// Derive sets Program.Params[i].Value from Latent after every update.
	Derive func(t *Trainer)

	o       Options
	model   *graph.Model
	data    *Data
	teacher *Answers
	batch   *batch
	p, q    []float64
	seen    int
	sum     float64
	agreed  int
}

// Answers is the teacher's outputs on samples, by output, samples in order.
type Answers struct {
	rows  []int // elements of one sample
	out   [][]float32
	units []float64 // mean square of outputs that are no scores, else 0
}

// Logits is a copy of m without a Softmax or LogSoftmax at an output, so that
// losses start from scores.
func Logits(m *graph.Model) *graph.Model {
	c := m.Clone()
	for i, v := range c.Graph.Outputs() {
		n := v.Def()
		if n == nil || !n.Is("Softmax", "LogSoftmax") || n.In(0).Def() == nil || n.In(0).IsOutput() || len(v.Uses()) > 1 {
			continue
		}
		c.Graph.SetOutput(i, n.In(0))
		c.Graph.Remove(n)
	}
	return c
}

// Distance is the largest difference to b, relative to the largest answer.
func (a *Answers) Distance(b *Answers) float64 {
	most, diff := 0.0, 0.0
	for i, v := range a.out {
		for k, x := range v {
			most = max(most, math.Abs(float64(x)))
			diff = max(diff, math.Abs(float64(x-b.out[i][k])))
		}
	}
	return diff / max(most, 1e-30)
}

// Hash writes the answers to h.
func (a *Answers) Hash(h io.Writer) {
	for _, v := range a.out {
		h.Write(tensor.Of([]int{len(v)}, v).Bytes())
	}
}

// RestoreOutputs puts back what Logits has left out, as original has it.
func RestoreOutputs(m, original *graph.Model) {
	for i, v := range original.Graph.Outputs() {
		out := m.Graph.Outputs()[i]
		if v.Name == out.Name || v.Def() == nil || !v.Def().Is("Softmax", "LogSoftmax") {
			continue
		}
		n := m.Graph.NewNode(v.Def().Op, []*graph.Value{out}, []string{v.Name})
		n.Name = v.Def().Name
		for _, a := range v.Def().Attrs {
			n.SetAttr(a.Clone())
		}
		n.Out(0).Type = v.Type
		m.Graph.InsertBefore(nil, n)
		m.Graph.SetOutput(i, n.Out(0))
	}
}

// example is zeros of the shape of a batch, and the batch size: that of the
// model if it is fixed.
func example(m *graph.Model, d *Data, wish int) ([]tensor.Value, int) {
	for i, v := range m.Graph.Inputs() {
		if i < len(d.Inputs) && v.Type.Ranked && len(v.Type.Shape) > 0 {
			if n, ok := v.Type.Shape[0].Const(); ok {
				wish = int(n)
			}
		}
	}
	in := make([]tensor.Value, len(d.Inputs))
	for i, t := range d.Inputs {
		in[i] = tensor.New(t.Type, append([]int{wish}, t.Shape[1:]...)...)
	}
	return in, wish
}

// Ask runs m on all samples.
func Ask(ctx context.Context, m *graph.Model, d *Data, threads int, progress func(done, total int)) (*Answers, error) {
	in, size := example(m, d, min(128, d.Len()))
	p, err := grad.Compile(m, in, grad.Options{Threads: threads, NoGradients: true})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	a := newAnswers(p, len(m.Graph.Outputs()), size, d.Len())
	b := newBatch(d, size, Augment{}, 0)
	for at := 0; at < d.Len(); at += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.inOrder(at)
		if err := load(p, b, 0); err != nil {
			return nil, err
		}
		if err := p.Forward(); err != nil {
			return nil, err
		}
		n := min(size, d.Len()-at)
		for i, row := range a.rows {
			copy(a.out[i][at*row:(at+n)*row], p.Output(i))
		}
		if progress != nil {
			progress(at+n, d.Len())
		}
	}
	a.finish(p)
	return a, nil
}

func newAnswers(p *grad.Program, outputs, size, total int) *Answers {
	a := &Answers{}
	for i := range outputs {
		row := len(p.Output(i)) / size
		a.rows = append(a.rows, row)
		a.out = append(a.out, make([]float32, row*total))
	}
	return a
}

func (a *Answers) finish(p *grad.Program) {
	for i, v := range a.out {
		unit := 0.0
		if s := p.OutputShape(i); len(s) != 2 || s[1] < 2 {
			for _, x := range v {
				unit += float64(x) * float64(x)
			}
			unit = max(unit/float64(max(len(v), 1)), 1e-12)
		}
		a.units = append(a.units, unit)
	}
}

// Accuracy is the share of samples whose top class in the first output is the
// label.
func (a *Answers) Accuracy(labels []int) float64 {
	right, row := 0, a.rows[0]
	for i, l := range labels {
		if compare.Top(a.out[0][i*row:(i+1)*row]) == l {
			right++
		}
	}
	return float64(right) / float64(max(len(labels), 1))
}

// inOrder chooses samples from at on, repeating the last.
func (b *batch) inOrder(at int) {
	for i := range b.rows {
		b.rows[i] = min(at+i, b.data.Len()-1)
	}
}

// load puts the chosen samples into the program.
func load(p *grad.Program, b *batch, step int) error {
	for i, t := range b.data.Inputs {
		if t.Type == tensor.Float32 {
			b.fill(step, i, p.Input(i))
			continue
		}
		x := tensor.New(t.Type, append([]int{b.size}, t.Shape[1:]...)...)
		row := len(t.Bytes()) / t.Shape[0]
		for r, s := range b.rows {
			copy(x.Bytes()[r*row:(r+1)*row], t.Bytes()[s*row:])
		}
		if err := p.SetInput(i, x); err != nil {
			return err
		}
	}
	return nil
}

// New prepares the training of m, whose outputs follow teacher, the answers to
// d. The model is changed by Store only.
func New(m *graph.Model, d *Data, teacher *Answers, o Options) (*Trainer, error) {
	if o.Steps == 0 {
		o.Steps = 1000
	}
	if o.Batch == 0 {
		o.Batch = 128
	}
	if o.Rate == 0 {
		o.Rate = 1e-3
	}
	if o.Temperature == 0 {
		o.Temperature = 2
	}
	if d.Labels == nil {
		o.LabelWeight = 0
	}
	in, size := example(m, d, min(o.Batch, d.Len()))
	p, err := grad.Compile(m, in, grad.Options{Threads: o.Threads})
	if err != nil {
		return nil, err
	}
	t := &Trainer{Program: p, o: o, model: m, data: d, teacher: teacher, batch: newBatch(d, size, o.Augment, o.Seed)}
	t.Adam = grad.Adam{Beta1: 0.9, Beta2: 0.99}
	var sizes []int
	for _, q := range p.Params {
		sizes = append(sizes, len(q.Value))
		t.Latent = append(t.Latent, q.Value)
	}
	t.Adam.Init(sizes)
	widest := 0
	for i, row := range teacher.rows {
		if i >= len(m.Graph.Outputs()) || len(p.Output(i)) != row*size {
			p.Close()
			return nil, fmt.Errorf("the outputs are not those of the teacher")
		}
		widest = max(widest, row)
	}
	t.p, t.q = make([]float64, widest), make([]float64, widest)
	return t, nil
}

// Own gives parameter i a latent of its own, apart from its value.
func (t *Trainer) Own(i int) { t.Latent[i] = append([]float32(nil), t.Latent[i]...) }

// Close frees the program.
func (t *Trainer) Close() { t.Program.Close() }

// Steps is how many steps the training takes.
func (t *Trainer) Steps() int { return t.o.Steps }

// Seed is the seed of the training.
func (t *Trainer) Seed() uint64 { return t.o.Seed }

// Rate is the learning rate of the next step: a cosine from the peak to 0.
func (t *Trainer) Rate() float64 {
	return t.o.Rate * 0.5 * (1 + math.Cos(math.Pi*float64(t.Step)/float64(t.o.Steps)))
}

// Advance does one step.
func (t *Trainer) Advance() error {
	t.batch.choose(t.Step)
	if err := load(t.Program, t.batch, t.Step); err != nil {
		return err
	}
	if err := t.Program.Forward(); err != nil {
		return err
	}
	t.loss()
	t.Program.Backward()
	u := t.Adam.Next(t.Rate())
	for i, q := range t.Program.Params {
		u.Apply(t.Latent[i], q.Grad, t.Adam.M[i], t.Adam.V[i])
	}
	t.Step++
	if t.Derive != nil {
		t.Derive(t)
	}
	return nil
}

// loss writes the gradients of the outputs and counts loss and agreement.
func (t *Trainer) loss() {
	size := t.batch.size
	scale := 1 / float64(size)
	for i, row := range t.teacher.rows {
		out, g := t.Program.Output(i), t.Program.OutputGrad(i)
		clear(g)
		for r, s := range t.batch.rows {
			student, gr := out[r*row:(r+1)*row], g[r*row:(r+1)*row]
			if mix := t.batch.mix[r]; mix.share > 0 {
				t.sum += t.one(i, gr, student, s, scale*float64(1-mix.share))
				t.sum += t.one(i, gr, student, t.batch.rows[mix.other], scale*float64(mix.share))
			} else {
				t.sum += t.one(i, gr, student, s, scale)
			}
			if i == 0 && t.teacher.units[0] == 0 && compare.Top(student) == compare.Top(t.teacher.out[0][s*row:(s+1)*row]) {
				t.agreed++
			}
		}
	}
	t.seen += size
}

// one is the loss of output i of one sample, weighed by scale.
func (t *Trainer) one(i int, g, student []float32, sample int, scale float64) float64 {
	row := t.teacher.rows[i]
	teacher := t.teacher.out[i][sample*row : (sample+1)*row]
	if unit := t.teacher.units[i]; unit > 0 {
		return scale * squareLoss(g, student, teacher, scale, unit)
	}
	label := -1
	if i == 0 && t.data.Labels != nil {
		label = t.data.Labels[sample]
	}
	return scale * t.o.scoreLoss(g, student, teacher, label, scale, t.p[:row], t.q[:row])
}

// Running is the mean loss and agreement since the last call.
func (t *Trainer) Running() Scores {
	n := max(t.seen, 1)
	s := Scores{Samples: t.seen, Loss: t.sum * float64(t.batch.size) / float64(n), Agreement: float64(t.agreed) / float64(n)}
	t.seen, t.sum, t.agreed = 0, 0, 0
	return s
}

// Evaluate runs the model as it is on all samples of d, seen in a view (see
// Views), and compares it with the teacher's answers to the samples as they
// are. wrong is what is wrong of each sample: 1 for another top class in the
// first output than the label or, without labels, than the teacher's; for
// outputs that are no scores their squareLoss.
func (t *Trainer) Evaluate(d *Data, teacher *Answers, view int) (s Scores, wrong []float32, err error) {
	return evaluate(t.Program, t.o.Targets, d, teacher, view, t.batch.size)
}

// Evaluate is Trainer.Evaluate for a model that is not trained.
func Evaluate(m *graph.Model, d *Data, teacher *Answers, view, threads int) (s Scores, wrong []float32, err error) {
	in, size := example(m, d, min(128, d.Len()))
	p, err := grad.Compile(m, in, grad.Options{Threads: threads, NoGradients: true})
	if err != nil {
		return Scores{}, nil, err
	}
	defer p.Close()
	return evaluate(p, Targets{Temperature: 2}, d, teacher, view, size)
}

func evaluate(p *grad.Program, o Targets, d *Data, teacher *Answers, view, size int) (s Scores, wrong []float32, err error) {
	n := d.Len()
	s.Samples, wrong = n, make([]float32, n)
	b := newBatch(d, size, Augment{}, 0)
	b.view = view
	widest := slices.Max(teacher.rows)
	p1, p2 := make([]float64, widest), make([]float64, widest)
	g := make([]float32, widest)
	o.LabelWeight = 0
	agreed, right := 0, 0
	for at := 0; at < n; at += b.size {
		b.inOrder(at)
		if err := load(p, b, 0); err != nil {
			return s, wrong, err
		}
		if err := p.Forward(); err != nil {
			return s, wrong, err
		}
		for r := range min(b.size, n-at) {
			for i, row := range teacher.rows {
				student, want := p.Output(i)[r*row:(r+1)*row], teacher.out[i][(at+r)*row:(at+r+1)*row]
				if unit := teacher.units[i]; unit > 0 {
					loss := squareLoss(g[:row], student, want, 0, unit)
					s.Loss += loss
					if teacher.units[0] > 0 {
						wrong[at+r] += float32(loss)
					}
					continue
				}
				s.Loss += o.scoreLoss(g[:row], student, want, -1, 0, p1[:row], p2[:row])
				if i > 0 {
					continue
				}
				answer, same := compare.Top(student), compare.Top(want)
				if answer == same {
					agreed++
				}
				if d.Labels != nil {
					if same = d.Labels[at+r]; answer == same {
						right++
					}
				}
				if answer != same {
					wrong[at+r] = 1
				}
			}
		}
	}
	total := float64(max(n, 1))
	s.Loss, s.Agreement, s.Accuracy = s.Loss/total, float64(agreed)/total, float64(right)/total
	return s, wrong, nil
}

// Store writes the weights into the model.
func (t *Trainer) Store() { t.Program.Store() }
