package pass

import (
	"fmt"
	"slices"
	"time"
)

// Action classes a ledger entry.
type Action uint8

const (
	// Changed: the node was rewritten, removed or replaced.
	Changed Action = iota
	// Kept: the node was left alone, for the stated reason.
	Kept
	// Warning is about the whole model.
	Warning
)

func (a Action) String() string { return [...]string{"changed", "kept", "warning"}[a] }

// MarshalText writes the action's name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Entry is one line of the ledger.
type Entry struct {
	Pass   string `json:"pass"`
	Node   string `json:"node,omitempty"`
	Op     string `json:"op,omitempty"`
	Action Action `json:"action"`
	Detail string `json:"detail"`
}

// PassStats is what one run of a pass cost and did.
type PassStats struct {
	Pass    string        `json:"pass"`
	Effect  string        `json:"effect"`
	Changes int           `json:"changes"`
	Nodes   int           `json:"nodes"` // afterwards, with subgraphs
	Time    time.Duration `json:"nanoseconds"`
}

// Ledger is everything that a pipeline did and did not do, in order.
type Ledger struct {
	Entries []Entry     `json:"entries"`
	Passes  []PassStats `json:"passes"`
	// Rewrites is how many times Allow said yes.
	Rewrites int `json:"rewrites"`
	// What quantization chose: ranges, the sensitivity of layers if it was
	// measured, and the layers that stayed in float for it.
	Ranges      Ranges        `json:"-"`
	Sensitivity []Sensitivity `json:"sensitivity,omitempty"`
	Half        []string      `json:"half,omitempty"`
	Float       []string      `json:"float,omitempty"`
}

func (l *Ledger) add(e Entry) { l.Entries = append(l.Entries, e) }

// forget drops what an earlier run of a pass kept: the next run says it anew.
func (l *Ledger) forget(pass string) {
	l.Entries = slices.DeleteFunc(l.Entries, func(e Entry) bool { return e.Pass == pass && e.Action == Kept })
}

// ran adds a run of a pass to its statistics.
func (l *Ledger) ran(s PassStats) {
	for i := range l.Passes {
		if p := &l.Passes[i]; p.Pass == s.Pass {
			p.Changes, p.Nodes, p.Time = p.Changes+s.Changes, s.Nodes, p.Time+s.Time
			return
		}
	}
	l.Passes = append(l.Passes, s)
}

// LastChange is the latest rewrite.
func (l *Ledger) LastChange() Entry {
	for _, e := range slices.Backward(l.Entries) {
		if e.Action == Changed {
			return e
		}
	}
	return Entry{}
}

// Changes is the number of rewrites of a pass, of all passes if pass is "".
func (l *Ledger) Changes(pass string) int {
	n := 0
	for _, e := range l.Entries {
		if e.Action == Changed && (pass == "" || e.Pass == pass) {
			n++
		}
	}
	return n
}

// String is the entry as one line.
func (e Entry) String() string {
	if e.Node == "" {
		return fmt.Sprintf("%s: %s: %s", e.Pass, e.Action, e.Detail)
	}
	return fmt.Sprintf("%s: %s %s %s: %s", e.Pass, e.Op, e.Node, e.Action, e.Detail)
}
