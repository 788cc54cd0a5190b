# "make" alone explains itself. Two commands are all a newcomer needs:
#   make run     the whole system on this machine
#   make test    every test
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO        ?= go
NPM       ?= npm
# Where "make run" keeps everything, and what it is told besides.
DATA_DIR  ?= ./data
RUN_FLAGS ?=
# What "make test" and "make demo" are told besides.
TEST_FLAGS ?=
DEMO_FLAGS ?=
# How long "make chaos" breaks things, and what decides how; empty: drawn anew.
CHAOS_DURATION ?= 3m
SEED      ?=
# What "make bench-ingest" and "make bench-query" are told besides.
BENCH_FLAGS ?=
# "make bench-query": how many events, where they stay (empty: nowhere), and
# whether PostgreSQL is asked too.
EVENTS    ?= $(if $(POSTGRES),10000000,20000000)
BENCH_DIR ?=
POSTGRES  ?=
FUZZTIME  ?= 30s
BENCHTIME ?= 1s
BENCH     ?= .
PKG       ?= ./...

LINT     := $(GO) tool -modfile=internal/tools/go.mod golangci-lint
BINARIES := bin/ingest bin/query bin/loginaudit

.PHONY: help run demo test build check chaos fmt vet lint deps bench bench-ingest bench-query fuzz clean engine browser compiler postgres $(BINARIES)

help: ## Explain the commands
	@echo "loginaudit - who logged in, when, how and from where"
	@echo
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  DATA_DIR=DIR is where run and demo keep everything (now $(DATA_DIR));"
	@echo "  RUN_FLAGS, DEMO_FLAGS and TEST_FLAGS are handed on; PKG=./event BENCH=Decode choose for bench and fuzz."

run: engine bin/loginaudit ## Run the whole system on this machine
	@exec bin/loginaudit serve --data-dir "$(DATA_DIR)" $(RUN_FLAGS)

demo: engine bin/loginaudit ## Fill the running system (or start one) with 30 days of made-up log-ins and go on live
	@exec ./internal/tools/demo.sh "$(DATA_DIR)" $(DEMO_FLAGS)

test: engine browser compiler fmt vet lint ## Run every test, with the race detector, and every check
	CGO_ENABLED=1 $(GO) test -race -timeout 20m $(TEST_FLAGS) ./...

chaos: engine ## Break the running system at random for CHAOS_DURATION (3m); SEED=N does the same again
	@seed="$(SEED)"; CHAOS_SEED="$${seed:-$$RANDOM}" CHAOS_DURATION="$(CHAOS_DURATION)" \
	  $(GO) test -count=1 -timeout 0 -v -run '^TestCampaignOfRandomFaultsBreaksNoInvariant$$' ./internal/faults

build: $(BINARIES) ## Build bin/ingest, bin/query and bin/loginaudit

$(BINARIES): bin/%:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/$*

check: fmt vet lint deps ## Check format, vet, lint and the import rules

fmt: ## Fail if gofmt would change a file
	@out=$$(gofmt -l .); \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; echo "run: gofmt -w ."; exit 1; fi

vet: ## Run go vet
	$(GO) vet ./...

lint: ## Run golangci-lint, at the version of internal/tools/go.mod
	$(LINT) run ./...

deps: ## Check who imports whom
	$(GO) test -count=1 ./internal/ -run TestImport

bench: engine ## Run the benchmarks (PKG=./event BENCH=Decode BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) $(PKG)

bench-ingest: engine ## Measure the way in: ceiling, drain, naive worker, live, import (BENCH_FLAGS="-run drain")
	@$(GO) run ./internal/ingestbench $(BENCH_FLAGS)

bench-query: engine $(if $(POSTGRES),postgres) ## Measure the questions at EVENTS (20M), kept in BENCH_DIR=DIR; POSTGRES=1 beside PostgreSQL
	@$(GO) run ./internal/querybench -events $(EVENTS) $(if $(BENCH_DIR),-dir "$(BENCH_DIR)") $(if $(POSTGRES),-postgres) $(BENCH_FLAGS)

fuzz: ## Run every fuzz test for FUZZTIME (30s) each
	@for dir in $$($(GO) list -f '{{.Dir}}' $(PKG)); do \
	  for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null | sed 's/func //' || true); do \
	    echo "== $$name"; (cd "$$dir" && $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) .); \
	  done; \
	done

clean: ## Remove what was built; the data stays
	rm -rf bin node_modules
	$(GO) clean -testcache

engine: node_modules/.package-lock.json ## Install the embedded ClickHouse (npm ci, from the lock file)

node_modules/.package-lock.json: package-lock.json package.json
	@command -v $(NPM) >/dev/null || { echo "npm is missing: install Node.js 18 or newer with npm (https://nodejs.org), then try again" >&2; exit 1; }
	$(NPM) ci
	@touch $@

browser: ## Install the browser that the tests of the page drive, when it is missing
	@./internal/tools/need.sh browser

compiler:
	@./internal/tools/need.sh compiler

postgres:
	@./internal/tools/need.sh postgres
