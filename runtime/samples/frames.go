package samples

import (
	"fmt"
	"path/filepath"
)

// files is frames that are image files.
type files struct {
	paths, names []string
	maxBytes     int
}

func (f *files) len() int          { return len(f.paths) }
func (f *files) name(i int) string { return f.names[i] }
func (f *files) channels() int     { return 3 }

func (f *files) load(i int) (raster, error) {
	file, err := openSized(f.paths[i])
	if err != nil {
		return raster{}, err
	}
	defer file.Close()
	return decode(file, f.maxBytes)
}

// onlyInput is the index of the one input that must be given.
func (s *Set) onlyInput(path string) (int, error) {
	at := -1
	for i, in := range s.inputs {
		if in.Optional {
			continue
		}
		if at >= 0 {
			return 0, fmt.Errorf("%s: the model has several inputs (%q, %q); use an npz with their names",
				path, s.inputs[at].Name, in.Name)
		}
		at = i
	}
	return max(at, 0), nil
}

// openImages opens image files, named in errors by names or else by their base.
func (s *Set) openImages(paths, names []string, opt *Options) error {
	in, err := s.onlyInput(s.path)
	if err != nil {
		return err
	}
	if names == nil {
		for _, p := range paths {
			names = append(names, filepath.Base(p))
		}
	}
	return s.bindImages(in, &files{paths, names, opt.maxBytes()}, opt)
}

// stored is frames in an array [N H W] or [N H W C] of bytes.
type stored struct {
	*array
	h, w, c int
}

func idxFrames(a *array, opt *Options) (*stored, error) {
	f := &stored{a, a.shape[1], a.shape[2], 1}
	if len(a.shape) == 4 {
		f.c = a.shape[3]
	}
	if size, err := a.elem.bytes(a.shape[1:]); err != nil || size > int64(opt.maxBytes()) {
		return nil, fmt.Errorf("%s: images of shape %v, the limit is %d bytes", a.title, a.shape[1:], opt.maxBytes())
	}
	if f.h == 0 || f.w == 0 || f.c != 1 && f.c != 3 {
		return nil, fmt.Errorf("%s: images of shape %v", a.title, a.shape[1:])
	}
	return f, nil
}

func (f *stored) len() int        { return f.shape[0] }
func (f *stored) name(int) string { return "" }
func (f *stored) channels() int   { return f.c }

func (f *stored) load(i int) (raster, error) {
	size := f.h * f.w * f.c
	pix := make([]byte, size)
	if err := f.readBytes(pix, i*size); err != nil {
		return raster{}, err
	}
	return raster{f.w, f.h, f.c, pix}, nil
}
