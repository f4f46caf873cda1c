package samples

import (
	"encoding/json"
	"fmt"
	"os"
)

// Box is an object in a sample: its class and corners x0, y0, x1, y1 in pixels
// of the sample as the model reads it.
type Box struct {
	Class int
	At    [4]float64
}

// coco is the part that counts of COCO's annotation files (Lin et al.,
// "Microsoft COCO: Common Objects in Context", 2014).
type coco struct {
	Images []struct {
		ID            int64
		File          string `json:"file_name"`
		Width, Height int
	}
	Annotations []struct {
		Image    int64     `json:"image_id"`
		Category int       `json:"category_id"`
		Box      []float64 `json:"bbox"`
		Crowd    int       `json:"iscrowd"`
	}
}

// Boxes reads the objects of every sample of set from COCO's JSON. Images are
// found by file name, samples without names by their index. Boxes follow the
// image through resizing and cropping; the class is the category_id. Crowds, and
// images that are not in set, are passed over.
func Boxes(path string, set *Set) ([][]Box, error) {
	c, err := readCOCO(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	find := indexKeys
	if set.Name(0) != "" {
		var names []string
		for i := range set.Len() {
			names = append(names, set.Name(i))
		}
		find = nameKeys(names)
	}
	type place struct {
		sample       int
		scale, shift [2]float64
	}
	places := map[int64]place{}
	seen := make([]bool, set.Len())
	for _, m := range c.Images {
		at, ok := find(m.File)
		if !ok || at >= set.Len() {
			continue
		}
		if seen[at] {
			return nil, fmt.Errorf("%s: two images are %q", path, m.File)
		}
		seen[at] = true
		p := place{sample: at, scale: [2]float64{1, 1}}
		if s, ok := set.source.(*imageSource); ok {
			if p.scale, p.shift, err = s.place(m.Width, m.Height); err != nil {
				return nil, fmt.Errorf("%s: image %q: %w", path, m.File, err)
			}
		}
		places[m.ID] = p
	}
	for i, ok := range seen {
		if !ok {
			return nil, fmt.Errorf("%s: no image is %s", path, title(i, set.Name(i)))
		}
	}
	out := make([][]Box, set.Len())
	for _, a := range c.Annotations {
		p, ok := places[a.Image]
		if !ok || a.Crowd != 0 {
			continue
		}
		if len(a.Box) != 4 {
			return nil, fmt.Errorf("%s: a box of image %d has %d numbers, want x y width height", path, a.Image, len(a.Box))
		}
		b := Box{Class: a.Category}
		for k := range 2 {
			b.At[k] = a.Box[k]*p.scale[k] - p.shift[k]
			b.At[k+2] = (a.Box[k]+a.Box[k+2])*p.scale[k] - p.shift[k]
		}
		out[p.sample] = append(out[p.sample], b)
	}
	return out, nil
}

func readCOCO(path string) (*coco, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxLabelFile {
		return nil, fmt.Errorf("%d bytes, the limit is %d", st.Size(), maxLabelFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &coco{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("annotations in COCO's form: %w", err)
	}
	if len(c.Images) == 0 {
		return nil, fmt.Errorf("no images: want annotations in COCO's form")
	}
	return c, nil
}

// place is where pixel (x, y) of an image of w x h comes to lie: scale*x -
// shift.
func (p *imageSource) place(w, h int) (scale, shift [2]float64, err error) {
	rw, rh, err := p.resized(p.opt.Resize, w, h)
	if err != nil {
		return scale, shift, err
	}
	cw, ch, err := p.cropped(p.opt.Crop, rw, rh)
	if err != nil {
		return scale, shift, err
	}
	x, y := cropCorner(rw, rh, cw, ch)
	return [2]float64{float64(rw) / float64(w), float64(rh) / float64(h)}, [2]float64{float64(x), float64(y)}, nil
}
