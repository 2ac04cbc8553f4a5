# Everything a developer or the CI runs. What is needed is built on first use,
# from the Go module proxy alone, into bin/.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GO       ?= go
BIN      := $(CURDIR)/bin
PKG      ?= ./...
FUZZTIME ?= 10s
FUZZPKG  ?= cmd collectors health internal mesh
FUZZKEEP ?= 20

# The version comes by LDFLAGS, so that a clone which git does not trust builds, too.
export GOFLAGS := $(shell $(GO) env GOFLAGS) -buildvcs=false

# Without git, or in a source archive, the binary says so in its version.
VERSION  ?= $(shell git describe --tags --match 'v*' --dirty 2>/dev/null | sed 's/^v//' | grep . || echo 0.0.0-dev)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BRANCH   ?= $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
# The time of the commit, not of the build: the same source gives the same bytes.
DATE     ?= $(shell git log -1 --format=%cd --date=format:%Y%m%d-%H:%M:%S 2>/dev/null || echo unknown)

version_pkg := github.com/prometheus/common/version
LDFLAGS  := -s -w -X $(version_pkg).Version=$(VERSION) -X $(version_pkg).Revision=$(REVISION) \
            -X $(version_pkg).Branch=$(BRANCH) -X $(version_pkg).BuildDate=$(DATE)

# Programs that only tests and lint run. A rule's go.sum changes with the pinned
# version, so an upgrade rebuilds them and nothing else does.
kube         := kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet kubemark
servers      := $(BIN)/etcd $(BIN)/prometheus $(BIN)/promtool $(BIN)/promparse $(BIN)/promexpr $(BIN)/jsonschema $(addprefix $(BIN)/,$(kube))
linter       := $(BIN)/golangci-lint
build_server := CGO_ENABLED=0 $(GO) build -trimpath

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

.PHONY: build
build: ## Build bin/grapevine, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/grapevine ./cmd/grapevine

.PHONY: test
test: build $(servers) cc packages alert-packages ## Run all tests with the race detector (PKG=./mesh/... TESTFLAGS='-run X')
	$(GO) test -race -timeout 20m -p 3 -parallel 4 $(TESTFLAGS) $(PKG)

.PHONY: simulate
simulate: ## Run whole clusters through faults in virtual time, one of a hundred agents among them (SEED=N AGENTS=M runs one)
	$(GO) test -timeout 20m -count=1 -v -run '^TestSimulation$$' ./mesh $(if $(SEED),-args -seed=$(SEED) $(if $(AGENTS),-agents=$(AGENTS)))

.PHONY: demo
# Built and exec'd instead of `go run`: a SIGTERM to make then reaches the demo,
# which cleans up.
demo: build $(BIN)/etcd ## Run three etcd members and three agents until Ctrl-C (DEMO_ARGS='--agents=5')
	@$(GO) build -o $(BIN)/demo ./test/demo
	@exec $(BIN)/demo $(DEMO_ARGS)

.PHONY: bench
bench: ## Run the benchmarks, then bench-agent, then bench-scrape
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)
	@$(MAKE) --no-print-directory bench-agent
	@$(MAKE) --no-print-directory bench-scrape

.PHONY: bench-program
bench-program:
	@mkdir -p $(BIN) && $(GO) build -o $(BIN)/bench ./test/bench

.PHONY: bench-agent
bench-agent: bench-program build packages $(BIN)/etcd $(BIN)/node_exporter $(addprefix $(BIN)/,$(kube)) ## Measure the agent beside node_exporter (BENCH_ARGS='--duration=10m')
	@exec $(BIN)/bench agent $(BENCH_ARGS)

.PHONY: bench-scrape
bench-scrape: bench-program bench-packages $(BIN)/prometheus ## Measure scrapes of a cluster beside Pushgateway and others (BENCH_SCRAPE_ARGS='--nodes=1000')
	@exec $(BIN)/bench scrape $(BENCH_SCRAPE_ARGS)

# NODES=1000 runs one case, LOSS=0.02 DEAD=0.02 with faults; without NODES all
# cases are run.
.PHONY: bench-mesh
bench-mesh: ## Measure the mesh among up to 5000 nodes, in virtual time (NODES=1000 LOSS=0.02 DEAD=0.02)
	@mkdir -p $(BIN) && $(GO) build -o $(BIN)/benchmesh ./test/benchmesh
	@exec $(BIN)/benchmesh $(if $(NODES),--nodes=$(NODES)) $(if $(LOSS),--loss=$(LOSS)) $(if $(DEAD),--dead=$(DEAD)) $(BENCH_MESH_ARGS)

.PHONY: lint
lint: $(linter) ## Check formatting, go vet and golangci-lint
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './bin/*')); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(linter) run

.PHONY: fmt
fmt: $(linter) ## Format the source and group the imports
	$(linter) fmt

.PHONY: docs
docs: ## Generate docs/metrics.md, docs/checks.md, alerts/prometheusrule.yaml and dashboards/*.json
	$(GO) run ./docs/gen
	$(GO) run ./alerts/gen
	$(GO) run ./dashboards/gen

.PHONY: docs-check
docs-check: ## Fail when the generated docs are not up to date
	@before=$$(mktemp -d); trap 'rm -rf "$$before"' EXIT; \
	cp docs/metrics.md docs/checks.md alerts/prometheusrule.yaml "$$before/"; \
	$(GO) run ./docs/gen; $(GO) run ./alerts/gen; \
	for f in docs/metrics.md docs/checks.md alerts/prometheusrule.yaml; do \
	  diff -u "$$before/$${f##*/}" "$$f" || { echo "$$f was not up to date; it is now, commit it"; exit 1; }; \
	done

# What fuzzing finds to fail stays in testdata/fuzz, and is run by make test from
# then on. Go reports an end in the middle of an input as a failure; it is none.
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s), in FUZZPKG (all; FUZZPKG='mesh internal/echo')
	@grep -rl --include='*_test.go' '^func Fuzz' $(FUZZPKG) | xargs -rn1 dirname | sort -u | while read -r dir; do \
	  tmp=$$(mktemp -d); $(GO) test -c -fuzz . -o "$$tmp/fuzz" "./$$dir"; \
	  cache="$$($(GO) env GOCACHE)/fuzz/$$($(GO) list "./$$dir")"; \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | cut -d' ' -f2); do \
	    out=$$(cd "$$dir" && "$$tmp/fuzz" -test.run '^$$' -test.fuzz "^$$f\$$" -test.fuzztime $(FUZZTIME) -test.fuzzminimizetime 2s \
	      -test.fuzzcachedir "$$cache" 2>&1 </dev/null) || \
	    if grep -q 'context deadline exceeded' <<<"$$out" && ! grep -q 'Failing input' <<<"$$out"; then :; else \
	      echo "$$out"; echo "==> FAILED: $$f in $$dir"; exit 1; \
	    fi; \
	    echo "$$dir $$f: $$(grep -E '^fuzz: elapsed' <<<"$$out" | tail -1 | cut -d, -f2-)"; \
	  done; \
	  rm -r "$$tmp"; \
	done

.PHONY: fuzz-keep
fuzz-keep: ## Keep in testdata/fuzz the FUZZKEEP (20) smallest inputs that fuzzing has found for each target
	@grep -rl --include='*_test.go' '^func Fuzz' $(FUZZPKG) | xargs -rn1 dirname | sort -u | while read -r dir; do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | cut -d' ' -f2); do \
	    found="$$($(GO) env GOCACHE)/fuzz/$$($(GO) list "./$$dir")/$$f"; \
	    if [ -d "$$found" ]; then \
	      mkdir -p "$$dir/testdata/fuzz/$$f"; \
	      find "$$found" -type f -size -4k -printf '%s %p\n' | sort -n | sed "$$(($(FUZZKEEP) + 1)),\$$d" | cut -d' ' -f2- | xargs -r cp -t "$$dir/testdata/fuzz/$$f"; \
	    fi; \
	  done; \
	done

.PHONY: tools
tools: $(servers) $(linter) ## Build all that tests and lint run: etcd, Prometheus, Kubernetes, ...

$(BIN)/etcd: tools/etcd/go.sum
	cd tools/etcd && $(build_server) -ldflags '-s -w' -o $@ go.etcd.io/etcd/server/v3
	@touch $@

$(BIN)/node_exporter: tools/node_exporter/go.sum
	cd tools/node_exporter && $(build_server) -ldflags '-s -w' -o $@ github.com/prometheus/node_exporter
	@touch $@

# Module v0.315.0 is release 3.15.0. Without the tags, a dozen clouds' service discoveries are built in.
$(BIN)/prometheus $(BIN)/promtool: tools/prometheus/go.sum
	cd tools/prometheus && $(build_server) -tags remove_all_sd,enable_kubernetes_sd \
	  -ldflags '-s -w -X $(version_pkg).Version=3.15.0' -o $@ github.com/prometheus/prometheus/cmd/$(@F)
	@touch $@

$(BIN)/promparse $(BIN)/promexpr: $(BIN)/%: tools/prometheus/%/main.go tools/prometheus/go.sum
	cd tools/prometheus && $(build_server) -ldflags '-s -w' -o $@.new ./$*
	@mv $@.new $@

$(BIN)/jsonschema: tools/jsonschema/main.go tools/jsonschema/go.sum
	cd tools/jsonschema && $(build_server) -ldflags '-s -w' -o $@.new .
	@mv $@.new $@

# Kubernetes' packages cannot tell their version by themselves.
kube_pkg     := k8s.io/component-base/version
kube_ldflags := -X $(kube_pkg).gitVersion=v1.35.4 -X $(kube_pkg).gitMajor=1 -X $(kube_pkg).gitMinor=35 \
                -X $(kube_pkg).gitTreeState=clean -X $(kube_pkg).gitCommit=v1.35.4 -X $(kube_pkg).buildDate=1970-01-01T00:00:00Z
$(BIN)/kube: tools/kube/main.go tools/kube/go.sum
	cd tools/kube && $(build_server) -ldflags '-s -w $(kube_ldflags)' -o $@.new .
	@mv $@.new $@

# Each is that one program by another name. Tests that run meanwhile find either
# the old program or the new one, whole.
$(addprefix $(BIN)/,$(kube)): $(BIN)/kube
	@ln -sf kube $@.new && mv $@.new $@

$(BIN)/golangci-lint: tools/golangci-lint.version
	GOBIN=$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$$(cat $<)
	@touch $@

# The race detector needs a C compiler.
.PHONY: cc
cc:
	@command -v "$$($(GO) env CC)" >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && apt-get install -qy --no-install-recommends gcc libc6-dev; \
	else \
	  echo "the race detector needs a C compiler: apt-get install gcc libc6-dev"; exit 1; \
	fi

# Debian's, of which tests start the programs on hosts of their own.
packages      := containerd runc containernetworking-plugins docker.io iptables nftables iproute2 conntrack e2fsprogs dnsmasq-base dbus-daemon
package_files := containerd runc /usr/lib/cni/bridge dockerd iptables nft ip conntrack mkfs.ext4 dnsmasq dbus-daemon
.PHONY: packages
packages: ## Install the container runtimes and network programs that tests of whole nodes need
	@$(call install,$(packages),$(package_files),tests of whole nodes are skipped)

# What runbooks have people type is held against the real programs.
alert_packages      := prometheus-alertmanager etcd-client docker.io bind9-dnsutils conntrack curl ethtool iproute2 iptables iputils-ping \
                       iputils-tracepath netcat-openbsd nftables openssl procps smartmontools sysstat systemd tcpdump
alert_package_files := prometheus-alertmanager amtool etcdctl docker dig conntrack curl ethtool ip iptables-save ping \
                       tracepath nc nft openssl ps smartctl iostat systemctl tcpdump
.PHONY: alert-packages
alert-packages: ## Install Alertmanager, and the programs that runbooks name
	@$(call install,$(alert_packages),$(alert_package_files),neither what Alertmanager sends nor all commands of runbooks are tested)

.PHONY: bench-packages
bench-packages:
	@$(call install,prometheus-pushgateway,prometheus-pushgateway,there is no comparison with Pushgateway)

# install PACKAGES, unless all FILES are there; LACK is what one has otherwise.
# What is there already stays as it is. A policy that forbids it keeps daemons
# from being started by their installation.
define install
for file in $(2); do command -v "$$file" >/dev/null || missing=1; done; \
if [ -z "$${missing:-}" ]; then exit 0; fi; \
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  if [ ! -e /usr/sbin/policy-rc.d ]; then \
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; \
    trap 'rm /usr/sbin/policy-rc.d' EXIT; \
  fi; \
  apt-get -o DPkg::Lock::Timeout=300 update -q && \
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends --no-upgrade $(1); \
else \
  echo "$(3) without root and these packages: $(1)"; \
  if [ "$${CI:-}" = true ]; then exit 1; fi; \
fi
endef

.PHONY: clean
clean: ## Remove all that was built
	rm -rf $(BIN)
