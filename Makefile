# `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup build web check test bench bench-monitor chaos fuzz demo

# Stories wait more than they compute.
STORIES_AT_ONCE := $(shell echo $$(($$(nproc) * 3 / 2)))

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## install what building and running needs (Debian and Ubuntu; as root or with sudo)
	scripts/setup

build: web ## the service, with the monitor in it: target/release/autobuilder
	scripts/setup build
	cargo build --release --workspace

check: web/node_modules/.package-lock.json ## formatting, lints, types, dependencies, shell scripts; changes nothing
	scripts/setup build check-tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- --deny warnings
	cargo deny --log-level error check licenses bans sources
	scripts/check-advisories
	shellcheck $$(grep -lE '^#!.*(bash|sh)$$' -r scripts .ci examples)
	scripts/check-docs
	cd web && npm run check && npm run lint

test: web ## everything, with a real Docker engine
	scripts/setup build docker image test-images registry redis chromium sqlite faketime schemathesis
	cd web && npm test
	cargo build --package autobuilder --features faults
	scripts/with-docker npm --prefix web run test:e2e
	cargo test --workspace --exclude autobuilder
	RUST_TEST_THREADS=$(STORIES_AT_ONCE) scripts/with-docker cargo test --package autobuilder --features faults --no-fail-fast

bench: ## speed and memory, beside a raw Docker client; QUICK=1 for the version of a minute
	scripts/bench

bench-monitor: ## the monitor in Chromium, over a log of ten million lines; QUICK=1 for a million
	scripts/bench-monitor

chaos: ## the service killed 200 times, each part of it failing, under load, and its API asked at random; KILLS=n, SEED=n, EXAMPLES=n
	scripts/setup build docker test-images redis schemathesis
	AUTOBUILDER_CHAOS_KILLS=$(or $(KILLS),200) AUTOBUILDER_CHAOS_SEED=$(SEED) AUTOBUILDER_ALL_FAULTS=1 \
		AUTOBUILDER_FULL_LOAD=1 AUTOBUILDER_API_EXAMPLES=$(or $(EXAMPLES),500) \
		scripts/with-docker cargo test --package autobuilder --features faults --test stories -- \
		chaos:: faults:: load:: hogs:: openapi:: --nocapture --test-threads 1

fuzz: ## an hour for each parser of what strangers write; MINUTES=n for another time
	scripts/fuzz

demo: ## build real software by a push, and watch it
	scripts/demo

# The front end, which cargo embeds into the service.
web: web/node_modules/.package-lock.json
	cd web && npm run build

# npm writes this file last, so an interrupted install is done again.
web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	scripts/setup node
	cd web && npm ci
	@touch $@
