package samples

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Labels reads the class of every sample of set, in its order: from idx (.gz),
// from npy or npz (array labels, label or y), from text with one label on a
// line, or from csv or text whose first column is the sample's file name or
// its index. A folder is searched for the labels of the evaluation set. With
// a nil set the labels are as the file has them.
func Labels(path string, set *Set) ([]int, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		if path, err = labelsIn(path); err != nil {
			return nil, err
		}
	}
	var names []string
	if set != nil && set.Name(0) != "" {
		for i := range set.Len() {
			names = append(names, set.Name(i))
		}
	}
	l, err := readLabels(path, names...)
	if err == nil && set != nil && len(l) != set.Len() {
		err = fmt.Errorf("%s: %d labels for %d samples of %s", path, len(l), set.Len(), set.path)
	}
	return l, err
}

// labelsIn is the labels file of a folder.
func labelsIn(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if !e.IsDir() && strings.Contains(strings.ToLower(e.Name()), "label") {
			found = append(found, e.Name())
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s: no file with labels in its name", dir)
	}
	name, err := byRole(dir, found, Evaluation)
	return filepath.Join(dir, name), err
}

// maxLabelFile bounds a file of labels.
const maxLabelFile = 1 << 28

func readLabels(path string, names ...string) ([]int, error) {
	f, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > maxLabelFile {
		return nil, fmt.Errorf("%s: %d bytes, the limit is %d", path, f.size, maxLabelFile)
	}
	switch f.form() {
	case formEmpty:
		return nil, fmt.Errorf("%s: empty file", path)
	case formLFS:
		return nil, fmt.Errorf("%s: a Git LFS pointer, not the file itself", path)
	case formImage:
		return nil, fmt.Errorf("%s: an image, not labels", path)
	case formNPY:
		a, err := parseNPY(f, f.size, path)
		if err != nil {
			return nil, err
		}
		return a.labels()
	case formZip:
		return npzLabels(f)
	case formIDX, formGzip:
		a, closer, err := parseIDX(f)
		if err != nil {
			return nil, err
		}
		if closer != nil {
			defer closer.Close()
		}
		return a.labels()
	}
	b := make([]byte, f.size)
	if err := readFull(f, b, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l, err := parseLabels(b, names)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

func npzLabels(f *sizedFile) ([]int, error) {
	for _, key := range labelKeys {
		if l, err := zipLabels(f, key); err != nil || l != nil {
			return l, err
		}
	}
	return nil, fmt.Errorf("%s: no array %s", f.path, strings.Join(labelKeys, ", "))
}

// labels is an array [N] or [N 1] of integers.
func (a *array) labels() ([]int, error) {
	size, err := a.elem.bytes(a.shape)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", a.title, err)
	case !a.elem.dtype.IsInt() || len(a.shape) == 0 || slices.ContainsFunc(a.shape[1:], func(d int) bool { return d != 1 }):
		return nil, fmt.Errorf("%s: labels of %v%v, want integers [N]", a.title, a.elem, a.shape)
	case size > maxLabelFile:
		return nil, fmt.Errorf("%s: %d bytes of labels, the limit is %d", a.title, size, maxLabelFile)
	}
	t, err := a.read(0, a.shape)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.title, err)
	}
	out := make([]int, 0, t.Len())
	for i, v := range t.Ints() {
		if v < 0 {
			return nil, fmt.Errorf("%s: label %d of sample %d", a.title, v, i)
		}
		out = append(out, int(v))
	}
	return out, nil
}

// row is a line of a text of labels.
type row struct {
	line       int
	key, label string
}

// parseLabels reads text of one or two columns, separated by commas,
// semicolons, tabs or spaces. names are those of the samples, if they have
// any.
func parseLabels(b []byte, names []string) ([]int, error) {
	list, err := parseRows(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		if _, err := strconv.Atoi(list[0].label); err != nil {
			list = list[1:] // a header
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no labels")
	}
	labels := make([]int, len(list))
	for i, r := range list {
		if labels[i], err = strconv.Atoi(r.label); err != nil || labels[i] < 0 {
			return nil, fmt.Errorf("line %d: label %q is not a class number", r.line, r.label)
		}
	}
	if list[0].key == "" {
		return labels, nil
	}
	return orderLabels(list, labels, names)
}

func parseRows(b []byte) ([]row, error) {
	var out []row
	first, _, _ := bytes.Cut(b, []byte("\n"))
	comma := slices.IndexFunc([]byte(",;\t"), func(c byte) bool { return bytes.IndexByte(first, c) >= 0 })
	add := func(line int, fields []string) error {
		r := row{line: line, label: strings.TrimSpace(fields[len(fields)-1])}
		if len(fields) == 2 {
			r.key = strings.TrimSpace(fields[0])
		}
		if len(fields) > 2 || (len(fields) == 2) != (r.key != "") || len(out) > 0 && (r.key == "") != (out[0].key == "") {
			return fmt.Errorf("line %d: %d columns, want label or name,label on every line", line, len(fields))
		}
		out = append(out, r)
		return nil
	}
	if comma < 0 {
		scan := bufio.NewScanner(bytes.NewReader(b))
		for line := 1; scan.Scan(); line++ {
			if fields := strings.Fields(scan.Text()); len(fields) > 0 {
				if err := add(line, fields); err != nil {
					return nil, err
				}
			}
		}
		return out, scan.Err()
	}
	r := csv.NewReader(bytes.NewReader(b))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = rune(",;\t"[comma]), -1, true
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if err := add(line, fields); err != nil {
			return nil, err
		}
	}
}

// orderLabels puts labels in the order of the samples that the keys name.
func orderLabels(list []row, labels []int, names []string) ([]int, error) {
	n := len(list)
	if names != nil {
		n = len(names)
	}
	find, byName := indexKeys, false
	if names != nil {
		byNames := nameKeys(names)
		if _, byName = byNames(list[0].key); byName {
			find = byNames
		}
	}
	out, line := make([]int, n), make([]int, n)
	for i, r := range list {
		at, ok := find(r.key)
		switch {
		case !ok && byName:
			continue // of another image
		case !ok && names != nil:
			return nil, fmt.Errorf("line %d: %q is not an image of the samples, such as %s", r.line, r.key, names[0])
		case !ok || at >= n:
			return nil, fmt.Errorf("line %d: index %q of %d samples", r.line, r.key, n)
		case line[at] != 0:
			return nil, fmt.Errorf("lines %d and %d both label %q", line[at], r.line, r.key)
		}
		out[at], line[at] = labels[i], r.line
	}
	if i := slices.Index(line, 0); i >= 0 {
		name := ""
		if names != nil {
			name = names[i]
		}
		return nil, fmt.Errorf("no label for %s", title(i, name))
	}
	return out, nil
}

func indexKeys(key string) (int, bool) {
	i, err := strconv.Atoi(key)
	return i, err == nil && i >= 0
}

// nameKeys finds samples by path, base name, or base name without extension;
// the latter two only where they are unique.
func nameKeys(names []string) func(string) (int, bool) {
	index := map[string]int{}
	short := func(key string, i int) {
		if old, ok := index[key]; ok && old != i {
			i = -1
		}
		index[key] = i
	}
	for i, n := range names {
		base := path.Base(n)
		short(base, i)
		if stem := strings.TrimSuffix(base, path.Ext(base)); stem != base {
			short(stem, i)
		}
	}
	for i, n := range names {
		index[n] = i
	}
	return func(key string) (int, bool) {
		i, ok := index[filepath.ToSlash(key)]
		return i, ok && i >= 0
	}
}
