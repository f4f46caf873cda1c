package samples

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// roleWords are the parts of names that a role prefers, best first.
var roleWords = map[Role][][]string{
	Calibration: {{"calib"}, {"train"}},
	Evaluation:  {{"t10k", "test"}, {"val"}},
}

// openFolder opens a folder by what is in it: test_data_set folders, else idx
// images, else one npz or npy, else images.
func (s *Set) openFolder(dir string, opt *Options) error {
	if sets := testDataSets(dir); sets != nil {
		return s.openPB(dir, sets, opt)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var idx, arrays, folders []string
	for _, e := range entries {
		name, lower := e.Name(), strings.ToLower(e.Name())
		switch ext := filepath.Ext(lower); {
		case e.IsDir():
			folders = append(folders, name)
		case strings.Contains(lower, "images") && strings.Contains(lower, "idx"):
			idx = append(idx, name)
		case ext == ".npz" || ext == ".npy":
			arrays = append(arrays, name)
		}
	}
	for _, list := range [][]string{idx, arrays} {
		if len(list) > 0 {
			name, err := byRole(dir, list, opt.Role)
			if err != nil {
				return err
			}
			s.path = filepath.Join(dir, name)
			return s.openFile(s.path, opt)
		}
	}
	isSplit := func(f string) bool { return slices.Contains(splits, strings.ToLower(f)) }
	if len(folders) > 0 && !slices.ContainsFunc(folders, func(f string) bool { return !isSplit(f) }) {
		name, err := byRole(dir, folders, opt.Role)
		if err != nil {
			return err
		}
		s.path = filepath.Join(dir, name)
		return s.openFolder(s.path, opt)
	}
	return s.openImageFolder(dir, opt)
}

// splits are the folders that divide a dataset rather than name classes.
var splits = []string{"calib", "calibration", "train", "test", "val", "validation"}

// byRole is the one name that there is, or the one that the role prefers.
func byRole(dir string, names []string, role Role) (string, error) {
	if len(names) == 1 {
		return names[0], nil
	}
	for _, words := range roleWords[role] {
		var found []string
		for _, n := range names {
			if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(n), w) }) {
				found = append(found, n)
			}
		}
		if len(found) == 1 {
			return found[0], nil
		}
		if len(found) > 1 {
			names = found
			break
		}
	}
	return "", fmt.Errorf("%s: which of %s? name the file itself", dir, list(names))
}

var imageExts = []string{".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}

// openImageFolder opens the images in a folder and those below it. When all
// are in sub-folders, the first of these is the class.
func (s *Set) openImageFolder(dir string, opt *Options) error {
	var paths, names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() || !slices.Contains(imageExts, strings.ToLower(filepath.Ext(path))) {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		paths, names = append(paths, path), append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("%s: no samples: no images, npz, npy, *images-idx3* or test_data_set_* in it", dir)
	}
	if classes := classesOf(names); classes != nil {
		s.labels = func() ([]int, error) { return classes, nil }
	}
	return s.openImages(paths, names, opt)
}

// classesOf is the class of each image by its first folder, nil if one has
// none.
func classesOf(names []string) []int {
	var folders []string
	for _, n := range names {
		folder, _, ok := strings.Cut(n, "/")
		if !ok {
			return nil
		}
		folders = append(folders, folder)
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(folders)))
	number := map[string]int{}
	for i, f := range sorted {
		number[f] = i
	}
	numeric := map[string]int{}
	for _, f := range sorted {
		if n, err := strconv.Atoi(f); err == nil && n >= 0 {
			numeric[f] = n
		}
	}
	if len(numeric) == len(number) {
		number = numeric
	}
	out := make([]int, len(folders))
	for i, f := range folders {
		out[i] = number[f]
	}
	return out
}

// testDataSets is the folders below dir, or dir itself, that hold input_0.pb,
// by number; nil if there is none.
func testDataSets(dir string) []string {
	if _, err := os.Stat(filepath.Join(dir, "input_0.pb")); err == nil {
		return []string{dir}
	}
	entries, _ := os.ReadDir(dir)
	var sets []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "test_data_set_") {
			sets = append(sets, filepath.Join(dir, e.Name()))
		}
	}
	slices.SortFunc(sets, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	return sets
}
