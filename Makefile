# README's two commands are `make run` and `make test`; CONTRIBUTING.md says what the others are for.
# Flags for the server: `make run ARGS='--port 9001 --allow_discovery'`.

.DEFAULT_GOAL := build
.PHONY: run build dist vendor setup check test test-all build-tests test-rust test-random test-simulation test-schedules mutants test-hostile test-instructions soak conformance test-browser browser-libraries package test-package test-systems npm lint lint-fast lint-features lint-bench lint-scripts pictures fuzz bench bench-cluster bench-protocols bench-relays bench-pipes bench-report

# Where scripts/setup.sh puts tools of cargo, and where rustup puts cargo itself: the shell may be older than that.
export PATH := $(CURDIR)/target/tools/bin:$(HOME)/.cargo/bin:$(PATH)

# The program for attacks and browsers.
PROGRAM = $(CURDIR)/target/release/peerbroker

# The parts of the program.
CRATES = --workspace --exclude schedules --exclude simulation --exclude testkit

run:
	@scripts/rust.sh
	cargo run --release -- $(ARGS)

build:
	cargo build --release

# The program for other machines: small, and minutes to build. The last pass over all packages inlines nothing more, because each has
# inlined what it calls: that makes the program 1.3 MB smaller, and a message 2 % dearer. scripts/cross.sh does so, too.
dist:
	cargo rustc --locked --profile dist --bin peerbroker -- -Cllvm-args=-inline-threshold=0

# The client and the libraries of the pages, which are in the repository so that a build needs no npm.
vendor: client/node_modules/.package-lock.json npm/vendor/node_modules/.package-lock.json
	cd client && node build.mjs
	cd npm/vendor && node copy.mjs

# Installs what the tests need on this machine, or names it where that is not possible.
setup:
	@scripts/setup.sh

# The fast round after a change: what is likely to break, in a minute on two cores once it is built. It compiles and lints the
# program and its unit tests; the larger tests are for `make test` and `make lint`.
check:
	cargo fmt --check --all
	cargo clippy --locked --lib --bins --test smoke -- -D warnings
	cargo test --locked --quiet $(CRATES) --lib --bins --test architecture --test house --test smoke

# What fails is run once more by itself: see scripts/test.mjs.
test: setup
	@node scripts/test.mjs

# For every night: CI leaves these out because they take long.
test-all: export THOROUGH = 1
test-all: test lint-bench lint-features test-random test-simulation test-schedules mutants test-package test-systems soak

# Cargo with the compiler of the tests, so that the program that they start is the one of a release, and packages are compiled once.
WITH_TESTS = scripts/with-tests.sh

# What is built; scripts/test/kinds.mjs has the same. With less, packages have fewer features, and are compiled once more.
TESTED = --locked --release --workspace

build-tests:
	$(WITH_TESTS) cargo test $(TESTED) --no-run

# All but attacks and counts. Random tests draw from the fixed seed in .cargo/config.toml.
test-rust: setup
	@node scripts/test.mjs rust $(if $(ARGS),-- $(ARGS),example)

# The random tests with a new seed, for every night. A find is written to a file of proptest-regressions: see CONTRIBUTING.md.
RANDOM_CASES = 200000

test-random:
	@seed=$$(od -An -N6 -tu8 /dev/urandom | tr -d ' '); echo "PROPTEST_RNG_SEED=$$seed"; \
		export PROPTEST_RNG_SEED=$$seed PROPTEST_CASES=$(RANDOM_CASES); \
		cargo test --release --locked $(CRATES) --lib --test house

# Nodes of a cluster in virtual time, optimized: ten thousand seeds in a minute, and in another one every
# run of two nodes with so many events. `make test` runs a few without optimization. The
# tests turn a feature of tokio on, so nothing of this is shared with `make build`.
SIMULATION_SEEDS ?= 10000
SIMULATION_DEPTH ?= 4

test-simulation:
	SIMULATION_SEEDS=$(SIMULATION_SEEDS) SIMULATION_DEPTH=$(SIMULATION_DEPTH) cargo test --release --locked --package simulation

# The router under every order of threads that interrupts them at most so often: 180,000 orders in a minute. `make test` stops at 3.
PREEMPTIONS = 4

test-schedules:
	LOOM_MAX_PREEMPTIONS=$(PREEMPTIONS) $(WITH_TESTS) cargo test $(TESTED) --test schedules

# Faults of the cluster and the router that their tests have to find, some ten minutes. Some of them: make mutants ARGS='no-fence'
mutants: setup
	scripts/mutants-cluster.sh $(ARGS)

# Attacks on the release binary, with bounds on its memory and on how long others wait: two minutes.
# Some of them: make test-hostile ARGS='ping_flood self_takeover'
test-hostile: setup
	@node scripts/test.mjs attack -- $(ARGS)

# Instructions and allocations for each message, connection and datagram, against a baseline: under a minute, and no clock.
# To save a new baseline: make test-instructions ARGS=--save
test-instructions: setup
	@node scripts/test.mjs count -- $(ARGS)

# Ordinary life on the release binary, three minutes of it. For an hour: make soak ARGS='--minutes 60'
soak: setup
	PEERBROKER_BIN="$(PROGRAM)" $(WITH_TESTS) cargo test $(TESTED) --test soak -- $(or $(ARGS),--minutes 3)

# Suites that others wrote judge the server: tests/conformance/README.md. Some of them: make conformance ARGS='autobahn coturn'
conformance: setup build-tests browser-libraries
	@scripts/setup.sh conformance
	PEERBROKER_BIN="$(PROGRAM)" node tests/conformance/run.mjs $(ARGS)

test-browser: setup
	@node scripts/test.mjs browser -- $(ARGS)

browser-libraries: client-tests/node_modules/.package-lock.json client/node_modules/.package-lock.json npm/vendor/node_modules/.package-lock.json

# The Debian package, in target/debian.
package: dist
	@scripts/setup.sh package
	scripts/package.sh

# Installs it into a container with systemd, upgrades it while clients connect, removes it. Needs root, and a minute once it is built.
test-package: dist client-tests/node_modules/.package-lock.json
	@scripts/setup.sh package
	cd client-tests && node fetch-clients.mjs
	scripts/test-package.sh

# The programs for ARM64 under qemu and for Windows under wine, and the image under podman. Needs root for the image, and minutes to
# build. Some of them: make test-systems ARGS=windows
test-systems: client-tests/node_modules/.package-lock.json
	@scripts/setup.sh systems
	$(WITH_TESTS) scripts/test-systems.sh $(ARGS)

# The npm packages for this machine, in target/npm.
npm: dist setup client/node_modules/.package-lock.json
	node scripts/npm.mjs "$$(node -p 'process.platform + "-" + process.arch')=target/dist/peerbroker"

# With CLIPPY_COMPILES=1, the builds of the tests have linted the workspace.
lint: lint-fast
ifndef CLIPPY_COMPILES
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked $(CRATES) --no-deps --document-private-items
endif

# For every night: no feature, each of them alone, and a program without the protocols that may be left out.
lint-features:
	cargo test --locked --no-default-features --features program --test cli the_build_leaves_out
	@for feature in '' acme media nostr redis sqlite; do \
		cargo clippy --locked --no-default-features --features "$$feature" --lib -- -D warnings || exit 1; \
	done

# Lint without a compiler. The advisories are a repository on GitHub, which not every machine reaches.
lint-fast: setup lint-scripts
	cargo fmt --check --all
	cargo fmt --check --manifest-path tests/bench/Cargo.toml
	cargo fmt --check --manifest-path tests/conformance/matchbox/Cargo.toml
	cargo fmt --check --manifest-path tests/conformance/str0m/Cargo.toml
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	@for patch in scripts/mutants/*.patch; do git apply --check "$$patch" || exit 1; done
	cargo deny --locked check licenses bans sources
	@if cargo deny fetch db >/dev/null 2>&1; then cargo deny --locked check advisories; \
	else echo 'advisories: NOT checked, the database cannot be reached'; fi
	@$(MAKE) --silent vendor >/dev/null && git diff --exit-code --stat -- client/dist npm/vendor/dist

# ESLint and tsc over the pages, their tests and the other scripts. The libraries of these bring types.
lint-scripts: client-tests/node_modules/.package-lock.json client/node_modules/.package-lock.json npm/vendor/node_modules/.package-lock.json
	cd client-tests && npm run --silent lint

# For every night, because their packages are other ones. The benchmark's lock file follows the server's, and it shares what is built.
lint-bench:
	cargo clippy --manifest-path tests/bench/Cargo.toml --target-dir target --all-targets -- -D warnings
	cargo clippy --locked --manifest-path tests/conformance/str0m/Cargo.toml --target-dir target/conformance/str0m -- -D warnings

# Each target for a minute. No sanitizer: there is no unsafe code, and libFuzzer needs only the coverage.
FUZZ_TARGETS = decoder handshake json dialects requests tokens proxy_protocol binary_pack pipe_frames
FUZZ_SECONDS = 60

fuzz:
	@scripts/setup.sh fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p tests/fuzz/found/$$target && \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz -s none $$target tests/fuzz/found/$$target tests/fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 || exit 1; \
	done

pictures: build client-tests/node_modules/.package-lock.json
	cd client-tests && npm run pictures

# Not --locked: the lock file of the benchmark follows the server's dependencies. ARGS=--once measures each step once, and writes nothing.
COMPARE = cd tests/bench && cargo build --release && cargo run --release --quiet --bin compare --

# Side by side with npm's peer and others, some 14 minutes; docs/BENCHMARKS.md says how.
bench: dist tests/bench/node/node_modules/.package-lock.json
	$(COMPARE) full $(ARGS)

# Nodes with a Redis between them: some five minutes.
bench-cluster: setup dist
	$(COMPARE) cluster $(ARGS)

# Topics and swarms beside the servers of y-webrtc and WebTorrent: two minutes.
bench-protocols: dist tests/bench/node/node_modules/.package-lock.json tests/bench/tracker/node_modules/.package-lock.json
	$(COMPARE) protocols $(ARGS)

# Calls through the relay, beside coturn and a bare loop: some 14 minutes. Another coturn beside it: COTURN=path/of/turnserver.
bench-relays: setup dist
	$(COMPARE) relays $(if $(COTURN),--coturn '$(abspath $(COTURN))') $(ARGS)

# Pipes, beside nginx and TURN over TCP: a minute and a half.
bench-pipes: setup dist
	$(COMPARE) pipes $(ARGS)

# Writes the figures of the last runs into README and docs again.
bench-report:
	cd tests/bench && cargo run --quiet --bin compare -- report

# npm's packages of a folder, installed anew when its lock file changes. npm is of the set-up.
INSTALL = npm ci --no-audit --no-fund --silent && touch node_modules/.package-lock.json

%/node_modules/.package-lock.json: %/package-lock.json | setup
	cd $* && $(INSTALL)
