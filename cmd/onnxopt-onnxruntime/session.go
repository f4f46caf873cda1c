package main

import (
	"fmt"
	"runtime"
	"unsafe"
)

// array is a tensor: elements of one of ONNX's types, little endian.
type array struct {
	elem int64 // as in TensorProto.DataType
	dims []int64
	data []byte
}

// session is a model in onnxruntime, on the CPU.
type session struct {
	*api
	handle, memory, allocator uintptr
	inputs, outputs           []uintptr // their names
}

// at is the address of a variable that the runtime fills or reads during a
// call. It keeps the variable off the stack, which moves; callers keep it alive.
func at[T any](p *T) uintptr {
	escaped = unsafe.Pointer(p)
	return uintptr(unsafe.Pointer(p))
}

var escaped unsafe.Pointer

// newSession loads the model at path.
func (a *api) newSession(path string, threads int) (*session, error) {
	s := &session{api: a}
	var env, options uintptr
	name, file := append([]byte("onnxopt"), 0), append([]byte(path), 0)
	defer runtime.KeepAlive(name)
	defer runtime.KeepAlive(file)
	for _, step := range []struct {
		function int
		args     func() []uintptr
	}{
		{createEnv, func() []uintptr { return []uintptr{logFatal, at(&name[0]), at(&env)} }},
		{createSessionOptions, func() []uintptr { return []uintptr{at(&options)} }},
		{setSessionLogSeverityLevel, func() []uintptr { return []uintptr{options, logFatal} }},
		{setIntraOpNumThreads, func() []uintptr { return []uintptr{options, uintptr(threads)} }},
		{setInterOpNumThreads, func() []uintptr { return []uintptr{options, 1} }},
		{createSession, func() []uintptr { return []uintptr{env, at(&file[0]), options, at(&s.handle)} }},
		{createCPUMemoryInfo, func() []uintptr { return []uintptr{arenaAllocator, defaultMemType, at(&s.memory)} }},
		{getAllocatorWithDefaultOptions, func() []uintptr { return []uintptr{at(&s.allocator)} }},
	} {
		if err := a.call(step.function, step.args()...); err != nil {
			return nil, err
		}
	}
	var err error
	if s.inputs, err = s.names(sessionGetInputCount, sessionGetInputName); err == nil {
		s.outputs, err = s.names(sessionGetOutputCount, sessionGetOutputName)
	}
	return s, err
}

// names is the addresses of the names of inputs or outputs, which live as long as the session.
func (s *session) names(count, name int) ([]uintptr, error) {
	var n uintptr
	if err := s.call(count, s.handle, at(&n)); err != nil {
		return nil, err
	}
	out := make([]uintptr, n)
	for i := range out {
		if err := s.call(name, s.handle, uintptr(i), s.allocator, at(&out[i])); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// run computes the outputs. timed is called around the computation alone.
func (s *session) run(in []array, timed func(compute func() error) error) ([]array, error) {
	if len(in) != len(s.inputs) {
		return nil, fmt.Errorf("%d inputs for a model of %d", len(in), len(s.inputs))
	}
	values, results := make([]uintptr, len(in)+1), make([]uintptr, len(s.outputs)+1)
	defer func() {
		for _, v := range append(values, results...) {
			s.free(releaseValue, v)
		}
	}()
	one := [1]byte{} // an address for empty tensors
	for i := range in {
		data, dims := &one[0], append(in[i].dims, 0)
		if len(in[i].data) > 0 {
			data = &in[i].data[0]
		}
		if err := s.call(createTensorWithDataAsOrtValue, s.memory, at(data), uintptr(len(in[i].data)), at(&dims[0]), uintptr(len(in[i].dims)),
			uintptr(in[i].elem), at(&values[i])); err != nil {
			return nil, err
		}
		runtime.KeepAlive(dims)
	}
	names := append(append([]uintptr{}, s.inputs...), 0)
	err := timed(func() error {
		return s.call(runSession, s.handle, 0, at(&names[0]), at(&values[0]), uintptr(len(in)), at(&s.outputs[0]), uintptr(len(s.outputs)), at(&results[0]))
	})
	runtime.KeepAlive([]any{in, names, &one})
	if err != nil {
		return nil, err
	}
	out := make([]array, len(s.outputs))
	for i := range out {
		if out[i], err = s.array(results[i]); err != nil {
			return nil, fmt.Errorf("output %s: %w", text(s.outputs[i]), err)
		}
	}
	return out, nil
}

// elementBytes is the size of the types of whole bytes, by number.
var elementBytes = map[int32]int{1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2, 17: 1, 18: 1, 19: 1, 20: 1}

// array copies a tensor of the runtime.
func (s *session) array(value uintptr) (array, error) {
	var info, rank, data uintptr
	if err := s.call(getTensorTypeAndShape, value, at(&info)); err != nil {
		return array{}, err
	}
	defer s.free(releaseTensorTypeAndShapeInfo, info)
	var elem int32
	if err := s.call(getTensorElementType, info, at(&elem)); err != nil {
		return array{}, err
	}
	if err := s.call(getDimensionsCount, info, at(&rank)); err != nil {
		return array{}, err
	}
	dims := make([]int64, rank+1)
	if err := s.call(getDimensions, info, at(&dims[0]), rank); err != nil {
		return array{}, err
	}
	if err := s.call(getTensorMutableData, value, at(&data)); err != nil {
		return array{}, err
	}
	size, known := elementBytes[elem]
	if !known {
		return array{}, fmt.Errorf("element type %d is not passed on", elem)
	}
	dims = dims[:rank]
	for _, d := range dims {
		size *= int(d)
	}
	out := array{elem: int64(elem), dims: dims}
	if size > 0 {
		out.data = append(out.data, unsafe.Slice((*byte)(pointer(data)), size)...)
	}
	return out, nil
}
