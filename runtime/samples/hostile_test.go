package samples

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"onnxopt/onnx/tensor"
)

func npyText(header string, data int) []byte {
	b := append([]byte(npyMagic), 1, 0, byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), make([]byte, data)...)
}

// bomb is a zip whose one entry claims a size that its data has not.
func bomb(npy []byte, claim uint64) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, _ := z.CreateRaw(&zip.FileHeader{Name: "x.npy", Method: zip.Deflate, CompressedSize64: uint64(len(npy)),
		UncompressedSize64: claim, CRC32: crc32.ChecksumIEEE(npy)})
	w.Write(npy)
	z.Close()
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func idxBytes(dtype byte, dims []uint32, data []byte) []byte {
	b := []byte{0, 0, dtype, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, data...)
}

func pngBytes(w, h int) []byte {
	var b bytes.Buffer
	png.Encode(&b, image.NewGray(image.Rect(0, 0, w, h)))
	return b.Bytes()
}

// huge is a png whose header claims 30000x30000 pixels.
func huge() []byte {
	b := pngBytes(4, 4)
	binary.BigEndian.PutUint32(b[16:], 30000)
	binary.BigEndian.PutUint32(b[20:], 30000)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// TestBroken opens damaged and hostile files: one line that says what is
// wrong, and little memory.
func TestBroken(t *testing.T) {
	var good bytes.Buffer
	if err := WriteNPZ(&good, []Array{{"x", tensor.New(tensor.Float32, 10, 1, 4, 4)}}); err != nil {
		t.Fatal(err)
	}
	header := func(shape string) []byte {
		return npyText("{'descr': '<f4', 'fortran_order': False, 'shape': "+shape+", }\n", 64)
	}
	zipped := gz(idxBytes(8, []uint32{10, 4, 4}, make([]byte, 160)))
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "empty file"},
		{"lfs", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS pointer"},
		{"random", []byte("\x8f\x01\xfe random bytes that are nothing"), "not npy, npz, idx or an image"},
		{"terabytes.npy", header("(1, 1000000, 1000000, 1000)"), "truncated"},
		{"overflow.npy", header("(4294967296, 4294967296, 4294967296)"), "too many elements"},
		{"negative.npy", header("(-1, 1, 4, 4)"), `size "-1"`},
		{"order.npy", npyText("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1, 4, 4), }\n", 64), "Fortran order"},
		{"objects.npy", npyText("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", 64), "Python objects"},
		{"records.npy", npyText("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", 64), "structured"},
		{"header.npy", []byte(npyMagic + "\x02\x00\xff\xff\xff\xff"), "npy header of 4294967295 bytes"},
		{"short.npy", []byte(npyMagic + "\x01\x00"), "truncated"},
		{"version.npy", []byte(npyMagic + "\x09\x00abcdef"), "npy version 9.0"},
		{"dtype.npy", npyText("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1, 4, 4), }\n", 128), "type double, wants float (--cast converts)"},
		{"shape.npy", header("(1, 2, 8)"), `shape [1 2 8], model input "x" wants [? 1 4 4]`},
		{"none.npy", header("(0, 1, 4, 4)"), "no samples"},
		{"trunc.npz", good.Bytes()[:good.Len()-40], "zip"},
		{"bomb.npz", bomb(header("(100, 1, 4, 4)"), 1<<40), "cannot come from"},
		{"other.npz", func() []byte {
			var b bytes.Buffer
			WriteNPZ(&b, []Array{{"y", tensor.New(tensor.Int8, 1)}})
			return b.Bytes()
		}(), `no array "x" for the model input (it has y)`},
		{"idx claims", idxBytes(8, []uint32{1 << 31, 1 << 31, 1 << 31}, nil), "too many elements"},
		{"idx short", idxBytes(8, []uint32{10, 4, 4}, make([]byte, 100)), "wants 160 bytes, 100 follow"},
		{"idx long", idxBytes(8, []uint32{10, 4, 4}, make([]byte, 200)), "wants 160 bytes, 200 follow"},
		{"idx size", idxBytes(8, []uint32{10, 5, 4}, make([]byte, 200)), `shape [1 5 4], model input "x" wants [1 4 4]`},
		{"idx.gz trunc", zipped[:len(zipped)-5], "truncated"},
		{"idx.gz bomb", gz(idxBytes(8, []uint32{1 << 30, 4, 4}, nil)), "cannot come from"},
		{"idx.gz lies", gz(idxBytes(8, []uint32{11, 4, 4}, make([]byte, 160))), "the header says"},
		{"png trunc", pngBytes(4, 4)[:50], "not enough pixel data"},
		{"png huge", huge(), "exceed the limit"},
		{"png size", pngBytes(4, 3), `shape [1 3 4], model input "x" wants [1 4 4] (--resize and --crop change the size)`},
	} {
		path := filepath.Join(t.TempDir(), strings.ReplaceAll(c.name, " ", "_"))
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readEverything(path)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		} else if !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("%s: %v does not name the file", c.name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d bytes allocated", c.name, used)
		}
	}
}

// readEverything opens a file and reads all its samples.
func readEverything(path string) error {
	in := []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 1, 4, 4}}}
	s, err := Open(path, in, Options{MaxBytes: 1 << 20})
	if err != nil {
		return err
	}
	defer s.Close()
	for i := range min(s.Len(), 64) {
		if _, err := s.Batch(i, i+1); err != nil {
			return err
		}
	}
	return nil
}

// fuzzFile reads data as a file of samples and as labels; only errors may
// come of it.
func fuzzFile(f *testing.F) {
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, fmt.Sprint(os.Getpid()))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Skip()
		}
		for _, err := range []error{readEverything(path), func() error { _, err := Labels(path, nil); return err }()} {
			if err != nil && strings.Contains(err.Error(), "runtime error") {
				t.Error(err)
			}
		}
	})
}

func FuzzNPY(f *testing.F) {
	f.Add(npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 4, 4), }\n", 128))
	f.Add(npyText("{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }\n", 24))
	f.Add(npyText("{'descr': '>i2', 'fortran_order': True, 'shape': (), }\n", 2))
	fuzzFile(f)
}

func FuzzNPZ(f *testing.F) {
	var b bytes.Buffer
	WriteNPZ(&b, []Array{{"x", tensor.New(tensor.Float32, 3, 1, 4, 4)}, {"y", tensor.New(tensor.Int64, 3)}})
	f.Add(b.Bytes())
	f.Add(bomb(npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 4, 4), }\n", 128), 500))
	fuzzFile(f)
}

func FuzzIDX(f *testing.F) {
	b := idxBytes(8, []uint32{2, 4, 4}, make([]byte, 32))
	f.Add(b)
	f.Add(gz(b))
	f.Add(idxBytes(13, []uint32{2, 1, 4, 4}, make([]byte, 128)))
	fuzzFile(f)
}

func FuzzLabels(f *testing.F) {
	f.Add([]byte("name,label\na.png,1\nb/b.png,0\n"))
	f.Add([]byte("1\n2\n3"))
	f.Add([]byte("0 3\n1 4"))
	f.Add([]byte("1;2\n0;7"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, names := range [][]string{nil, {"a.png", "b/b.png"}} {
			l, err := parseLabels(data, names)
			if err == nil && (len(l) == 0 || l[0] < 0) {
				t.Error(l)
			}
		}
	})
}

func FuzzImage(f *testing.F) {
	f.Add(pngBytes(4, 4))
	f.Add(huge())
	fuzzFile(f)
}
