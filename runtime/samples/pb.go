package samples

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"onnxopt/onnx/tensor"
)

// pbSource is ONNX test_data_set folders, input_<i>.pb and output_<i>.pb in
// each. A folder is one sample however many rows its tensors have: which axis
// is the batch, if any, the files do not tell.
type pbSource struct {
	sets    []string
	inputs  []Input
	outputs []Input
	opt     Options
}

// openPB opens test_data_set folders.
func (s *Set) openPB(dir string, sets []string, opt *Options) error {
	if opt.ParsePB == nil {
		return fmt.Errorf("%s: no parser for .pb samples", dir)
	}
	s.n = len(sets)
	s.source = &pbSource{sets, s.inputs, opt.Outputs, *opt}
	return s.setBatchSize(1, s.inputs[0])
}

func (p *pbSource) name(i int) string { return filepath.Base(p.sets[i]) }

func (p *pbSource) batch(from, _ int) ([]tensor.Value, error) {
	out, err := p.read(from, "input", p.inputs)
	if err != nil {
		return nil, err
	}
	for i, in := range p.inputs {
		if out[i] == nil && !in.Optional {
			return nil, fmt.Errorf("%s: no input_%d.pb for model input %q", title(from, p.name(from)), i, in.Name)
		}
		t, ok := out[i].(*tensor.Tensor)
		if !ok {
			continue
		}
		if out[i], err = p.check(t, in); err != nil {
			return nil, fmt.Errorf("%s: %w", title(from, p.name(from)), err)
		}
	}
	return out, nil
}

func (p *pbSource) check(t *tensor.Tensor, in Input) (*tensor.Tensor, error) {
	if in.Shape != nil && !matches(in.Shape, t.Shape) {
		return nil, fmt.Errorf("shape %v, model input %q wants %s", t.Shape, in.Name, wantShape(in.Shape))
	}
	e := element{dtype: t.Type}
	err := checkType(e, in.Type, p.opt.Cast)
	if err == nil {
		t, err = convert(t, e, in.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("model input %q: %w", in.Name, err)
	}
	return t, nil
}

func (p *pbSource) expected(from, _ int) ([]tensor.Value, error) {
	return p.read(from, "output", p.outputs)
}

// read reads the files of a folder. A file is for the value of its number,
// unless it holds the name of another.
func (p *pbSource) read(set int, prefix string, list []Input) ([]tensor.Value, error) {
	out := make([]tensor.Value, len(list))
	for i := range list {
		path := filepath.Join(p.sets[set], fmt.Sprintf("%s_%d.pb", prefix, i))
		b, err := readLimited(path, p.opt.maxBytes())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		v, name, err := p.opt.ParsePB(b, list[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		at := i
		for k, in := range list {
			if name != "" && in.Name == name {
				at = k
			}
		}
		if out[at] != nil {
			return nil, fmt.Errorf("%s: a second value for %q", path, list[at].Name)
		}
		out[at] = v
	}
	return out, nil
}

// readLimited reads a whole file of at most limit bytes.
func readLimited(path string, limit int) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > int64(limit) {
		return nil, fmt.Errorf("%s: %d bytes, the limit is %d", path, st.Size(), limit)
	}
	f, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, f.size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("%s: %w", path, damaged(err))
	}
	return b, nil
}
