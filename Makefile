SHELL    = /bin/bash
# make            build ./sherd
# make test       what CI runs: build, vet, staticcheck, unit tests under the race detector, end to end; about 20 minutes on 2 cores, 30 where nothing is compiled yet
# make clients    real S3 clients against the real binary, installed where missing; CLIENTS="rclone restic" for some
# make conformance  what S3's documentation promises, case by case: test/s3
# make soak       the same promises with the full counts: hours
# make bench      measure a fresh server on this machine; see docs/performance.md
# make fuzz       each fuzz target for FUZZTIME

GO       ?= go
FUZZTIME ?= 20s
BENCHDIR ?= /tmp/sherd-bench
SOAKLOG  ?= docs/soak.md
CLIENTS  ?= all

# Generated code is built, not judged.
PACKAGES  = $(shell $(GO) list ./... | grep -v /test/)
RACED     = $(filter-out $(addprefix github.com/sherd-io/sherd/,$(patsubst ./%,%,$(SEQUENTIAL))),$(PACKAGES))
JUDGED    = $(shell $(GO) list ./... | grep -v /metapb)
# The race detector costs a factor of ten: what takes minutes under it is shortened there, and run whole without it.
SHORTENED = ./disk ./disk/segment ./erasure ./erasure/heal ./gateway ./gateway/object
# Where nothing runs beside anything the detector has nothing to find. internal/archtest holds that these start no goroutine.
SEQUENTIAL = ./disk/chunk ./erasure/codec ./gateway/acl ./gateway/cors ./gateway/iam ./gateway/policy ./gateway/s3xml ./internal/archtest ./internal/atomicfile ./internal/ids ./internal/plural ./meta/keys ./meta/state ./placement ./placement/plan
# The inside of Go's cryptography is not instrumented: it calculates on what one caller gives it. Else a key pair and a signature take six times
# as long, and a node's start half a second more. pebblegozstd: else cgo has gcc compile a zstd that the binary we ship does not have.
RACE = -race -gcflags=crypto/internal/fips140/...=-race=false -tags pebblegozstd
# go vet has seen all of it.
TEST = $(GO) test -vet=off

# All but the race half compiles what build does, once: with other flags each part would compile every dependency again.
build vet lint unit whole sim e2e conformance boto3: export CGO_ENABLED = 0
build vet lint unit whole sim e2e conformance boto3: export GOFLAGS := $(shell $(GO) env GOFLAGS) -trimpath

.PHONY: build test vet lint unit race whole sim e2e conformance boto3 tools clients soak bench fuzz clean

build:
	$(GO) build -o sherd ./cmd/sherd

# One after the other: beside each other they take hardly less time, and a test that is starved of the cores for minutes fails.
test: build vet lint race whole sim e2e conformance boto3

vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v pb.go))" || { gofmt -l $$(git ls-files '*.go' | grep -v pb.go); echo "run gofmt -w"; exit 1; }
	$(GO) vet ./...

lint:
	$(GO) tool staticcheck $(JUDGED)

# Every unit test without the race detector: the quick way while working.
unit:
	$(GO) test -timeout 10m $(PACKAGES)

# etcd itself is not looked at: the children of the tests are ./sherd.
race: build
	TEST_ETCD_SHERD=$(CURDIR)/sherd $(TEST) -p 4 -parallel 4 $(RACE) -short -timeout 20m $(RACED)

# What -short leaves out, at full length, and what the race half leaves out.
whole:
	$(TEST) -timeout 10m $(SHORTENED) $(SEQUENTIAL)

# Whole clusters by a simulated clock: 10 schedules, 7 s of one core each. The child it builds is compiled anew, with a build tag of the Go
# runtime: a minute or two the first time. `go test ./test/sim -args -schedules 200` runs 200, make soak 10,000
# (or SCHEDULES=n).
sim:
	$(TEST) -timeout 15m ./test/sim

e2e: build tools
	$(TEST) -timeout 25m -parallel 4 -v ./test/e2e/ -args -sherd $(CURDIR)/sherd | grep -vE '^=== (RUN|PAUSE|CONT|NAME)'; exit $${PIPESTATUS[0]}

# Prints what failed, and how many cases wait for what is not there yet. Another server: CONFORMANCE='-endpoint URL -access-key AK -secret-key SK'.
conformance: build
	$(TEST) -count 1 -timeout 10m -v ./test/s3 -args $(or $(CONFORMANCE),-sherd $(CURDIR)/sherd) | grep -vE '^ *(=== |--- PASS|[a-z]+_test.go:[0-9]+: (waits for|holds already))|^PASS'; exit $${PIPESTATUS[0]}

# Of the clients, the one that asks for most in the least time: seconds. Browser forms, versions, locks, ACLs, IAM.
boto3: build
	$(TEST) -count 1 -timeout 15m ./test/clients -args -clients boto3 -sherd $(CURDIR)/sherd

# What the tests run besides sherd: the AWS CLI and curl as clients, ip for network namespaces.
tools:
	@command -v aws >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq awscli >/dev/null; }
	@command -v curl >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq curl >/dev/null; }
	@command -v ip >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq iproute2 >/dev/null; }

# From Debian, npm and Go modules, pinned where that can be. How long each takes is in test/clients/doc.go.
clients:
	$(GO) test -timeout 4h -v ./test/clients -args -clients "$(CLIENTS)"

soak: build tools
	GO=$(GO) test/soak.sh $(SOAKLOG)

bench: build
	packaging/bench.sh ./sherd $(BENCHDIR)
	@command -v jq >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq jq >/dev/null; }
	packaging/bench-cluster.sh ./sherd $(BENCHDIR)

# What they find is kept below testdata/fuzz, which every run of the tests tries.
fuzz:
	GO=$(GO) FUZZTIME=$(FUZZTIME) test/fuzz.sh $(PACKAGES)

clean:
	rm -rf sherd data dist
