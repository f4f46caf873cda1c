package pack

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var excerpts = flag.String("excerpts", "", "write dictionary.bin from the first nodes of these models: FILE:NODES,...")

// excerpt is a model cut down to its first nodes and what they need, without
// data and metadata.
func excerpt(t *testing.T, path string, nodes int) item {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	items, err := parse(b, modelMsg, 0)
	if err != nil {
		t.Fatal(path, err)
	}
	read := map[string]bool{}
	var clean func(items []item) []item
	clean = func(items []item) []item {
		items = slices.DeleteFunc(items, func(x item) bool {
			return x.form == group && x.of == entryMsg || x.form == blob && x.num != tensorRaw
		})
		for i := range items {
			items[i].sub = clean(items[i].sub)
		}
		return items
	}
	items = clean(items)
	for i := range items {
		if items[i].of != graphMsg {
			continue
		}
		left := nodes
		items[i].sub = slices.DeleteFunc(items[i].sub, func(x item) bool {
			switch x.of {
			case nodeMsg:
				left--
				if left < 0 {
					return true
				}
				for _, y := range x.sub {
					if y.num == nodeInput {
						read[string(y.b)] = true
					}
				}
			case tensorMsg:
				for _, y := range x.sub {
					if y.num == tensorName {
						return !read[string(y.b)]
					}
				}
			}
			return x.num == graphValue
		})
	}
	return item{num: 1, wire: wireBytes, form: group, of: modelMsg, sub: items}
}

// TestDictionary decodes the dictionary, or writes it.
func TestDictionary(t *testing.T) {
	if *excerpts != "" {
		var list []item
		for _, e := range strings.Split(*excerpts, ",") {
			path, n, _ := strings.Cut(e, ":")
			nodes, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, excerpt(t, path, nodes))
		}
		c := newEncoder()
		s := newStructure(c, structureBits)
		s.message(list, dictionaryMsg, 0)
		if err := os.WriteFile("dictionary.bin", c.finish(), 0o644); err != nil {
			t.Fatal(err)
		}
		dictionary = c.out
		t.Logf("%s: %d bytes of %d", filepath.Join("dictionary.bin"), len(c.out), len(s.hist))
	}
	s, err := primed()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d symbols", len(s.hist))
}
