package op

import "fmt"

var opSequenceAt = &Def{
	Name: "SequenceAt",
	Versions: []Version{
		{Since: 11, Schema: `input_sequence:S position:I -> tensor:T | | S: seq(all); T: all; I: int32 int64`},
	},
	Check: Exact,
	Infer: func(f *Infer) error {
		if of := f.Type(0).Of; of != nil {
			f.SetType(0, *of)
		}
		return nil
	},
	Eval: evalSequenceAt,
}

func evalSequenceAt(e *Eval) error {
	seq, p := e.Sequence(0), e.Tensor(1)
	at := sequencePosition(p, len(seq.Items))
	if at < 0 || at >= len(seq.Items) {
		return fmt.Errorf("position %d in a sequence of %d", p.Ints()[0], len(seq.Items))
	}
	e.Set(0, seq.Items[at])
	return nil
}
