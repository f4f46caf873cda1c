package samples

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"sync"
)

// maxRatio is the largest expansion that DEFLATE can reach: a match of 258
// bytes in 2 bits.
const maxRatio = 1032

type form int

const (
	formUnknown form = iota
	formEmpty
	formNPY
	formZip
	formGzip
	formIDX
	formImage
	formLFS
)

// sizedFile is a regular file with its size.
type sizedFile struct {
	*os.File
	path string
	size int64
}

func openSized(path string) (*sizedFile, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &sizedFile{f, path, st.Size()}, nil
}

// form tells the file's form from its first bytes.
func (f *sizedFile) form() form {
	head := make([]byte, 64)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	switch {
	case n == 0:
		return formEmpty
	case bytes.HasPrefix(head, []byte(npyMagic)):
		return formNPY
	case bytes.HasPrefix(head, []byte("PK")):
		return formZip
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return formGzip
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return formLFS
	case n >= 4 && head[0] == 0 && head[1] == 0 && idxTypes[head[2]].Valid():
		return formIDX
	}
	if _, _, err := image.DecodeConfig(io.NewSectionReader(f, 0, f.size)); !errors.Is(err, image.ErrFormat) {
		return formImage
	}
	return formUnknown
}

// stream is random access to what can only be read from its start, such as
// compressed data: reading forward is cheap, reading back starts again.
type stream struct {
	open func() (io.ReadCloser, error)

	mu  sync.Mutex
	r   io.ReadCloser
	pos int64
}

// ReadAt implements io.ReaderAt.
func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r == nil || off < s.pos {
		s.close()
		r, err := s.open()
		if err != nil {
			return 0, err
		}
		s.r, s.pos = r, 0
	}
	skipped, err := io.CopyN(io.Discard, s.r, off-s.pos)
	s.pos += skipped
	n := 0
	if err == nil {
		n, err = io.ReadFull(s.r, p)
		s.pos += int64(n)
	}
	if err != nil {
		s.close() // a damaged stream is not read on
	}
	return n, err
}

func (s *stream) close() error {
	r := s.r
	s.r = nil
	if r == nil {
		return nil
	}
	return r.Close()
}

// Close ends the reading; a later ReadAt would start again.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.close()
}

// gunzip is the content of a gzip file.
func gunzip(f *sizedFile) *stream {
	return &stream{open: func() (io.ReadCloser, error) {
		return gzip.NewReader(bufio.NewReader(io.NewSectionReader(f, 0, f.size)))
	}}
}

// gunzippedSize checks that a gzip file holds size bytes. The last four bytes
// of the file are the size modulo 2^32 (RFC 1952) unless it is made of several
// members, whose content is then counted.
func gunzippedSize(f *sizedFile, size int64) error {
	if size/maxRatio > f.size {
		return fmt.Errorf("%d bytes cannot come from a gzip file of %d", size, f.size)
	}
	var tail [4]byte
	if _, err := f.ReadAt(tail[:], max(0, f.size-4)); err == nil && binary.LittleEndian.Uint32(tail[:]) == uint32(size) {
		return nil
	}
	r, err := gunzip(f).open()
	if err != nil {
		return err
	}
	n, err := io.CopyN(io.Discard, r, size+1)
	switch {
	case err == nil:
		return fmt.Errorf("more than %d bytes, the header says %d", n-1, size)
	case !errors.Is(err, io.EOF):
		return damaged(err)
	case n != size:
		return fmt.Errorf("%d bytes, the header says %d", n, size)
	}
	return nil
}

// damaged says in plain words that data ended early.
func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("truncated")
	}
	return err
}

// readFull fills b from offset off on.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	if len(b) == 0 {
		return nil
	}
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	return damaged(err)
}
