# README's two commands are `make run` and `make test`; CONTRIBUTING.md says what the others are for.
# Flags for the server: `make run ARGS='--port 9001 --allow_discovery'`.

.DEFAULT_GOAL := build
.PHONY: run build vendor setup check test test-all test-rust test-random test-simulation mutants test-hostile test-browser package test-package lint pictures fuzz bench bench-quick bench-baseline bench-cluster bench-relays

run:
	cargo run --release -- $(ARGS)

build:
	cargo build --release

# The libraries of the pages, which are in the repository so that a build needs no npm: made anew after a change of their versions.
vendor:
	cd vendor && npm ci --no-audit --no-fund --silent && node copy.mjs

# What the tests need on this machine; installed where that is possible, named where it is not.
setup:
	@scripts/setup.sh

# The fast round after a change: what is likely to break, in under a minute on two cores once it is built.
check:
	cargo fmt --check --all
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --quiet --lib --test architecture --test dialect --test broker
	cargo test --locked --quiet --test api smoke

test: setup test-rust test-hostile test-browser

# What CI leaves out because it takes long: for every night.
test-all: RELEASES = all
test-all: export CALL_MATRIX = 1
test-all: test test-simulation mutants

# Random tests draw from the fixed seed in .cargo/config.toml, and the one of the broker draws more than in `make check`.
# Most tests wait for something, so nextest runs more of them at once than there are cores. `cargo test` runs the same ones, later.
test-rust:
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --locked --workspace --test-threads $$(( $$(getconf _NPROCESSORS_ONLN) * 2 )) && cargo test --locked --doc; \
	else cargo test --locked --workspace; fi
	PROPTEST_CASES=3000 cargo test --locked --quiet --test broker every_interleaving

# The random tests with a new seed, for every night. A find is written to a file of proptest-regressions: see CONTRIBUTING.md.
RANDOM_CASES = 200000

test-random:
	@seed=$$(od -An -N6 -tu8 /dev/urandom | tr -d ' '); echo "PROPTEST_RNG_SEED=$$seed"; \
		export PROPTEST_RNG_SEED=$$seed PROPTEST_CASES=$(RANDOM_CASES); \
		cargo test --release --locked --lib --test broker --test dialect

# Nodes of a cluster in virtual time, optimized: ten thousand seeds in a minute. `make test` runs a few without optimization.
SIMULATION_SEEDS ?= 10000

test-simulation: build
	SIMULATION_SEEDS=$(SIMULATION_SEEDS) cargo test --release --locked --package simulation

# Faults of the cluster that its tests have to find, some ten minutes. Some of them: make mutants ARGS='no-fence'
mutants:
	scripts/mutants-cluster.sh $(ARGS)

# Attacks on the release binary, with bounds on its memory and on how long others wait: two minutes.
# Some of them: make test-hostile ARGS='ping_flood self_takeover'
test-hostile: build
	PEERBROKER_BIN="$(CURDIR)/target/release/peerbroker" cargo test --locked --test hostile -- $(ARGS)

# With three releases of PeerJS; RELEASES=all for every one.
test-browser: build
	cd client-tests && npm ci --no-audit --no-fund --silent && RELEASES=$(RELEASES) npm test

# The Debian package, in target/debian.
package: build
	scripts/package.sh

# Installs it into a container with systemd, upgrades it while clients connect, removes it. Needs root, and a minute once it is built.
test-package: build
	cd client-tests && npm ci --no-audit --no-fund --silent && node fetch-clients.mjs
	scripts/test-package.sh

# The benchmark has a lock file of its own, which follows the server's, and shares what is built.
lint:
	cargo fmt --check --all
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	cargo fmt --check --manifest-path bench/Cargo.toml
	cargo clippy --manifest-path bench/Cargo.toml --target-dir target --all-targets -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo metadata --locked --format-version 1 | node scripts/check-licences.mjs
	cd vendor && npm ci --no-audit --no-fund --silent && node copy.mjs >/dev/null && git diff --exit-code --stat -- dist

# Each target for a minute. No sanitizer: there is no unsafe code, and libFuzzer needs only the coverage.
FUZZ_TARGETS = decoder handshake json dialects requests tokens
FUZZ_SECONDS = 60

fuzz:
	@cargo +nightly fuzz --version >/dev/null 2>&1 || \
		{ echo 'make fuzz needs a nightly toolchain and cargo-fuzz: see CONTRIBUTING.md' >&2; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/found/$$target && \
		cargo +nightly fuzz run -s none $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 || exit 1; \
	done

pictures: build
	cd client-tests && npm ci --no-audit --no-fund --silent && npm run pictures

# Not --locked: the lock file of the benchmark follows the server's dependencies.
LOAD = cd bench && cargo build --release
COMPARE = $(LOAD) && cargo bench --no-run --bench broker && cargo run --release --quiet --bin compare --

# Side by side with npm's peer and others, some ten minutes; docs/BENCHMARKS.md says how.
bench: build bench/node/node_modules/.package-lock.json
	$(COMPARE) full

# Against bench/baseline.json, under two minutes once it is built.
bench-quick: build
	$(COMPARE) quick

bench-baseline: build
	$(COMPARE) baseline

# Nodes with a Redis between them, and a Redis with millions of records: some six minutes.
bench-cluster: build
	$(LOAD) && cargo run --release --quiet --bin compare -- cluster

# Calls through the relay, beside coturn and a bare loop: some five minutes.
bench-relays: build
	$(LOAD) && cargo run --release --quiet --bin compare -- relays

bench/node/node_modules/.package-lock.json: bench/node/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing: it installs the server to compare with' >&2; exit 1; }
	cd bench/node && npm ci --no-audit --no-fund --silent && touch node_modules/.package-lock.json
