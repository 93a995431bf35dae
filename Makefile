# Two commands matter: `make lab` (see it work) and `make test` (see it proven). Both set up what they
# need into .tools/ on a machine that has Rust, Python 3, Node and make.

CARGO ?= cargo
export PATH := $(CURDIR)/.tools/bin:$(PATH)

# Data folder of `make lab`, emptied at each start; nothing of anybody's own lies there.
LAB := target/lab
# The same for `make cluster-lab`.
CLUSTER_LAB := target/cluster-lab

BENCHES := stages rules backtest engine_vs_consumer time_to_alert standing_cost recovery failover

.PHONY: lab cluster-lab test check soak chaos fuzz bench lint deny advisories setup-lab setup-test setup-fuzz clean

lab: setup-lab ## set everything up and run the lab: bus, engine, board, agent, all in one process
	$(CARGO) build --release --bin ops
	@deploy/tools/empty_lab $(LAB)
	@echo
	@echo "In a second terminal, type:  ./target/release/ops burst --data $(LAB)"
	@echo
	./target/release/ops lab --data $(LAB)

cluster-lab: setup-lab ## three nats-servers, three engines, two agents on this machine, to kill as you like
	$(CARGO) build --release --bin ops
	@deploy/tools/cluster_lab $(CLUSTER_LAB) target/release/ops "$$(command -v nats-server)"

test: setup-test ## set everything up and run every test
	$(CARGO) test --workspace --all-targets --no-fail-fast
	$(CARGO) test --workspace --doc
	$(CARGO) build --bin ops
	OPS_BIN=$(CURDIR)/target/debug/ops .tools/venv/bin/python clients/python/run_tests.py

check: ## the inner loop: formats, lints, the pure tests and those of the rules
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --lib --bins -- -D warnings
	$(CARGO) test -p stages -p settings --lib
	$(CARGO) test -p trial

lint: setup-lab ## what CI refuses; tests may unwrap and read files
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --lib --bins --examples -- -D warnings
	$(CARGO) clippy --workspace --all-targets -- -D warnings \
		-A clippy::unwrap_used -A clippy::disallowed_methods

deny: setup-test ## licences, bans and sources of all dependencies
	cargo-deny check bans licenses sources

advisories: setup-test ## known security advisories; needs a network
	cargo-deny check advisories

soak: ## the simulation of crashes, seed after seed until stopped or one fails
	OPS_FIRST_SEED=$${OPS_FIRST_SEED:-$$(date +%s)} OPS_SEEDS=1000000000 \
		$(CARGO) test -p engine --test simulation nothing_is_lost -- --nocapture

chaos: setup-test ## real processes killed, frozen and cut off under load, at least 200 kills; 20 to 30 minutes
	OPS_SEED=$${OPS_SEED:-$$(date +%s)} OPS_CHAOS=full $(CARGO) test --test chaos

fuzz: setup-fuzz ## inputs guided by coverage, for as long as it is left alone; what leads somewhere new, or panics, is kept
	@deploy/tools/fuzz

bench: setup-lab ## every figure the README quotes, as ratios in one run on this machine
	rm -rf target/measured
	$(CARGO) bench -p hms-ops $(BENCHES:%=--bench %)
	@cat $(BENCHES:%=target/measured/%.txt)

setup-lab:
	@deploy/tools/setup lab

setup-test:
	@deploy/tools/setup test

setup-fuzz:
	@deploy/tools/setup fuzz

clean: ## build output and installed tools
	$(CARGO) clean
	rm -rf .tools board/node_modules data
