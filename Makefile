# `make help` explains every target. What is installed goes into $(VENV); what is written goes into out/.

VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
	&& echo $$python && break; done || echo python3)
BIN := $(VENV)/bin
MEDIA ?= media
TESTS ?= --numprocesses auto --maxprocesses 4 --dist worksteal
# What the reference detector's classifier and first layers lose in INT8 is more than all the rest.
FP32 := net_/animals/* net_/bodies/lite/_conv_stem/* net_/bodies/lite/Clip net_/bodies/lite/_blocks.[01]/*
PUBLISH := wildgate-build publish out/train/detector-int8.onnx --for-engines out/train/detector-fp16.onnx --report out/train/int8.json
PROTOS := $(wildcard proto/wildgate_proto/v1/*.proto)
PROTOC = $(BIN)/python -m grpc_tools.protoc -Iproto -I$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

.DEFAULT_GOAL := help
.PHONY: help setup demo console story serve test lint format proto check-generated configs fingerprint tables conformance bench bench-peers perf archive sweep evasion matches blocks cases attacks fuzz chaos overload soak screening observe dashboards evaluate detector samples engines gpu-report clean

help: ## Explains the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## Checks the machine and installs everything into $(VENV)

# "." by itself for ./perf: pip does not take '.[dev]' for what that depends on.
$(VENV)/.installed: pyproject.toml client/pyproject.toml perf/pyproject.toml constraints.txt
	@PYTHONPATH=server $(PYTHON) -m wildgate_server.preflight
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable ./client --editable . --editable ./perf --editable '.[dev]'
	@touch $@

demo: setup ## Starts real servers, scores the sample clips, confirms a case, blocks its copy, screens queries, writes out/demo/
	$(BIN)/python demo/run_demo.py

console: setup ## Starts real servers with the demo's cases and the working group's console, prints its address and logins
	$(BIN)/python demo/run_demo.py --out out/console/demo --console 127.0.0.1:8103

story: setup ## Plays a case from verdict to appeal on SQLite and PostgreSQL, with kill -9 of each process at every step (3 minutes)
	$(BIN)/python -m pytest -v -n0 -m story tests/integration/enforcement/test_story.py

serve: setup ## Runs the server in the foreground with an embedded Triton
	$(BIN)/wildgate serve --block-list out/blocks

test: setup ## Runs all tests, on as many cores as there are, up to four (TESTS=other options and paths for pytest)
	$(BIN)/python -m pytest $(TESTS)

lint: setup ## Checks style, layers and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

format: setup ## Formats the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

proto: setup ## Regenerates the committed gRPC stubs, the Node.js client's protos and docs/api.md
	$(PROTOC) --python_out=proto --pyi_out=proto --grpc_python_out=proto $(PROTOS)
	$(PROTOC) --include_imports --descriptor_set_out=client/node/wildgate.binpb $(PROTOS) google/rpc/error_details.proto
	@mkdir -p out
	$(PROTOC) --include_source_info --descriptor_set_out=out/api.binpb $(PROTOS)
	$(BIN)/python proto/api_guide.py out/api.binpb docs/api.md

configs: setup ## Renders Triton's configs from the model manifest
	$(BIN)/python -m wildgate_server.repository.model_configs --write model_repository

fingerprint: setup ## Generates the graphs that make fingerprints of frames
	$(BIN)/python -m wildgate_build.fingerprint model_repository

tables: setup ## Generates the tables of look-alike, traditional and same-sounding characters for search
	$(BIN)/python -m wildgate_search.make_tables

check-generated: proto configs fingerprint tables dashboards ## Fails when committed stubs, guide, configs, graphs, tables or dashboards differ from what is generated
	git diff --exit-code -- proto model_repository search/wildgate_search/tables client/node docs/api.md deploy/grafana deploy/prometheus

conformance: setup ## Scores the media files in MEDIA=DIR and compares with its EXPECTED.json
	$(BIN)/python tests/conformance/run_conformance.py $(MEDIA)

bench: setup ## Measures served against offline, the gateway, bytes read, load and cache (10 minutes), writes perf/results/
	$(BIN)/python -m wildgate_perf.bench

bench-peers: setup ## Measures the same videos in BentoML, mosec, bare Triton and a plain script
	$(BIN)/pip install --quiet --disable-pip-version-check --editable './perf[peers]' --constraint constraints.txt
	$(BIN)/python -m wildgate_perf.bench --only peers

perf: setup ## Loads a server with locust, judges it by its objectives, writes out/perf/ (PERF=options, see PERF=--help)
	$(BIN)/python -m wildgate_perf.load_test $(PERF)

archive: setup ## Scores 500 clips on a Ray cluster of two nodes beside a closed loop, kills a worker and the driver; writes perf/results/
	$(BIN)/python -m wildgate_perf.archive

sweep: setup ## Turns one setting of the server at a time and says which one helps (15 minutes), writes perf/results/ (SWEEP=options)
	$(BIN)/python -m wildgate_perf.sweep $(SWEEP)

evasion: setup ## Plays the adversary: how many hidden videos are caught and at what cost, writes perf/results/ (EVASION=options)
	$(BIN)/python -m wildgate_perf.evasion $(EVASION)

matches: setup ## Blocks videos, disguises them, counts what is recognised and what wrongly, writes perf/results/ (MATCHES=options)
	$(BIN)/python -m wildgate_perf.matches $(MATCHES)

blocks: setup ## Measures a list of a million blocks: searches, memory, adding, restarts, two copies; writes perf/results/ (BLOCKS=options)
	$(BIN)/python -m wildgate_perf.block_list $(BLOCKS)

cases: setup ## Opens cases at a rate on SQLite and PostgreSQL while eight people decide, and prices handing over (5 minutes), writes perf/results/ (CASES=options)
	$(BIN)/python -m wildgate_perf.cases $(CASES)

chaos: setup ## Breaks one thing after the other under load, counts what is lost (14 minutes, needs root and haproxy); writes perf/results/ (CHAOS=options)
	$(BIN)/python -m wildgate_perf.chaos $(CHAOS)

overload: setup ## Offers 3 and 40 times the peak, and 70 % of it: goodput, refusals, memory, tail (8 minutes), writes perf/results/ (OVERLOAD=options)
	$(BIN)/python -m wildgate_perf.chaos.overload $(OVERLOAD)

soak: setup ## Asks a gateway for 30 minutes, says what it holds over time and what it keeps of a burst, writes perf/results/ (SOAK=options)
	$(BIN)/python -m wildgate_perf.soak $(SOAK)

attacks: setup ## Attacks a server in thirteen ways, says what good callers notice of it (9 minutes), writes perf/results/ (ATTACKS=options)
	$(BIN)/python -m wildgate_perf.attacks $(ATTACKS)

fuzz: setup ## Changes small videos and requests at random, 100,000 of them, and has them read (2 minutes), writes perf/results/ (FUZZ=options)
	$(BIN)/python -m wildgate_perf.fuzz $(FUZZ)

screening: setup ## Screens labelled queries and held-out disguises, measures speed, writes perf/results/ (SCREENING=options)
	$(BIN)/python -m wildgate_perf.screening $(SCREENING)

observe: setup ## Asks a Prometheus every query of dashboards and alerts, of running servers (2 minutes, needs prometheus and redis); writes out/observe/ (OBSERVE=options)
	$(BIN)/python -m wildgate_perf.observe $(OBSERVE)

dashboards: setup ## Makes Grafana's dashboards and the Prometheus operator's rules of their sources in deploy/
	$(BIN)/python -m wildgate_perf.observe.manifests --write

evaluate: setup ## Composes fresh clips, measures what the shipped detector finds in them, holds it against its aims
	$(BIN)/python -m wildgate_detector evaluate

detector: setup ## Trains the reference detector, quantises and publishes it (about 75 minutes on 2 cores); or DATA=coco.json or a folder, and says how to publish
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train]' --constraint constraints.txt
	$(BIN)/python -m wildgate_detector train $(DATA:%=--data %) --output out/train/detector.onnx
	rm -rf out/train/clips && $(BIN)/python -m wildgate_detector film out/train/clips $(DATA:%=--data %)
	$(BIN)/wildgate-build quantise out/train/detector.onnx --videos out/train/clips \
		$(FP32:%=--exclude '%') --leave-out-bars \
		--output out/train/detector-int8.onnx --report out/train/int8.json --max-loss 0.25 --search-minutes 0
	$(BIN)/wildgate-build half out/train/detector.onnx --videos out/train/clips --output out/train/detector-fp16.onnx
	$(if $(DATA),$(BIN)/python -m wildgate_detector judge $(DATA) --model out/train/detector-int8.onnx)
	$(if $(DATA),@echo "complete out/train/policy-labels.yaml and put it into a policy; then: $(PUBLISH) --policy POLICY.yaml",$(BIN)/$(PUBLISH))

samples: setup ## Composes the sample clips anew
	$(BIN)/python -m wildgate_detector samples

engines: setup ## Builds the TensorRT-RTX engine of the serving detector (needs no GPU)
	$(BIN)/wildgate-build engine --target rtx

gpu-report: setup ## Measures the rtx profile on this machine's NVIDIA GPU, writes perf/results/
	$(BIN)/python -m wildgate_perf.bench --profile rtx

clean: ## Removes what was installed and written
	rm -rf $(VENV) out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
