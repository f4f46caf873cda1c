package main

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Numbers of functions in the table OrtApi, whose order onnxruntime never changes
// (onnxruntime_c_api.h).
const (
	getErrorMessage                = 2
	createEnv                      = 3
	createSession                  = 7
	runSession                     = 9
	createSessionOptions           = 10
	setSessionLogSeverityLevel     = 22
	setIntraOpNumThreads           = 24
	setInterOpNumThreads           = 25
	sessionGetInputCount           = 30
	sessionGetOutputCount          = 31
	sessionGetInputName            = 36
	sessionGetOutputName           = 37
	createTensorWithDataAsOrtValue = 49
	getTensorMutableData           = 51
	getTensorElementType           = 60
	getDimensionsCount             = 61
	getDimensions                  = 62
	getTensorTypeAndShape          = 65
	createCPUMemoryInfo            = 69
	getAllocatorWithDefaultOptions = 78
	releaseStatus                  = 93
	releaseValue                   = 96
	releaseTensorTypeAndShapeInfo  = 99
	tableLength                    = 100
	apiVersion                     = 11 // any later library has it
	logFatal                       = 4
	arenaAllocator, defaultMemType = 1, 0
)

// api is onnxruntime's C API. Functions that return a status return its address, 0 for success.
type api struct {
	table   *[tableLength]uintptr
	version string
}

// open loads the library at path.
func open(path string) (*api, error) {
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	get, err := purego.Dlsym(lib, "OrtGetApiBase")
	if err != nil {
		return nil, err
	}
	address, _, _ := purego.SyscallN(get)
	base := (*[2]uintptr)(pointer(address)) // GetApi, GetVersionString
	table, _, _ := purego.SyscallN(base[0], apiVersion)
	if table == 0 {
		return nil, fmt.Errorf("%s has no API version %d", path, apiVersion)
	}
	version, _, _ := purego.SyscallN(base[1])
	return &api{(*[tableLength]uintptr)(pointer(table)), text(version)}, nil
}

// pointer is an address of memory that is not Go's.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

// text is the zero-terminated string at an address.
func text(address uintptr) string {
	if address == 0 {
		return ""
	}
	p := pointer(address)
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// call runs a function that returns a status.
func (a *api) call(function int, args ...uintptr) error {
	status, _, _ := purego.SyscallN(a.table[function], args...)
	if status == 0 {
		return nil
	}
	message, _, _ := purego.SyscallN(a.table[getErrorMessage], status)
	err := errors.New(text(message))
	a.free(releaseStatus, status)
	return err
}

// free runs a function that returns nothing.
func (a *api) free(function int, object uintptr) {
	if object != 0 {
		purego.SyscallN(a.table[function], object)
	}
}
