package compress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/distill"
)

// journal is the checkpoint file of a search: the finished stages and the
// running one. A search that starts with the journal of a killed one repeats
// its decisions from the finished stages and goes on to the same bytes.
type journal struct {
	path  string
	state journalState
	next  int // finished stages replayed
}

type journalState struct {
	Key      string // of model, samples and options
	Finished []finished
	Running  *distill.Snapshot
}

type finished struct {
	Weights map[string][]float32
	Measure Measure
}

const journalMagic = "onnxopt checkpoint 3\n"

// key identifies the work of training m: model, samples, their answers, options.
func (t *Task) key(m *graph.Model, options any) string {
	h := sha256.New()
	h.Write([]byte(graph.Text(&graph.Model{Graph: m.Graph, Opsets: m.Opsets})))
	for v := range m.Graph.Initializers() {
		if t := v.Const(); t != nil && t.Type != tensor.String {
			h.Write(t.Bytes())
		}
	}
	for _, x := range t.Train.Inputs {
		h.Write(x.Bytes())
	}
	t.TrainAnswers.Hash(h)
	fmt.Fprintf(h, "%+v %d %v", options, t.Seed, t.Train.Labels)
	return fmt.Sprintf("%x", h.Sum(nil))
}

// openJournal reads the journal at path, if there is one for the same work; ""
// keeps none.
func openJournal(path, key string) (*journal, error) {
	j := &journal{path: path, state: journalState{Key: key}}
	if path == "" {
		return j, nil
	}
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	head := len(journalMagic) + 4
	if len(b) < head || string(b[:len(journalMagic)]) != journalMagic ||
		crc32.ChecksumIEEE(b[head:]) != uint32(b[head-4])|uint32(b[head-3])<<8|uint32(b[head-2])<<16|uint32(b[head-1])<<24 {
		return nil, fmt.Errorf("%s: not a whole checkpoint of this program: remove it to start anew", path)
	}
	var s journalState
	if err := gob.NewDecoder(bytes.NewReader(b[head:])).Decode(&s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Key != key {
		return nil, fmt.Errorf("%s: checkpoint of another model, other samples or options: remove it to start anew", path)
	}
	j.state = s
	return j, nil
}

// replay is the next finished stage, nil when there is none left.
func (j *journal) replay() *finished {
	if j.next == len(j.state.Finished) {
		return nil
	}
	j.next++
	return &j.state.Finished[j.next-1]
}

// running is the snapshot of the stage that was cut off.
func (j *journal) running() *distill.Snapshot { return j.state.Running }

func (j *journal) pause(s *distill.Snapshot) error {
	j.state.Running = s
	return j.save()
}

func (j *journal) finish(f finished) error {
	j.state.Finished = append(j.state.Finished, f)
	j.state.Running = nil
	j.next++
	return j.save()
}

func (j *journal) save() error {
	if j.path == "" {
		return nil
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(&j.state); err != nil {
		return err
	}
	sum := crc32.ChecksumIEEE(b.Bytes())
	out := append([]byte(journalMagic), byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
	return onnx.WriteTo(context.Background(), j.path, func(w io.Writer) error { _, err := w.Write(append(out, b.Bytes()...)); return err })
}

// remove deletes the file of a search that is done.
func (j *journal) remove() {
	if j.path != "" {
		os.Remove(j.path)
	}
}
