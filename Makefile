# Two commands do everything: `make run` and `make test`. Both install what is missing first (deploy/setup.sh).
SHELL := /bin/bash
.DEFAULT_GOAL := help
PROFILE ?= dev
DATA_DIR ?= data
HTTP ?= 127.0.0.1:7300
GRPC ?= 127.0.0.1:7301
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

.PHONY: run
run: ## Build, start coordinator and agent on SQLite, do a real mission, stay until Ctrl-C
	@deploy/setup.sh run
	@$(MAKE) --no-print-directory web
	cargo build --profile $(PROFILE) --bin nexusmon --bin nexusmon-agent
	@exec $(BIN)/nexusmon up --demo --data-dir $(DATA_DIR) --http $(HTTP) --grpc $(GRPC)

BIN = $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

.PHONY: test
test: ## Install what is missing, then every test: Rust, web, Python, end to end
	@deploy/setup.sh test
	@$(MAKE) --no-print-directory web check lint-deploy test-rust test-python test-web

.PHONY: check
check: ## Formatting and lints, warnings refused
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

.PHONY: lint-deploy
lint-deploy: ## Images, compose file, units, scripts, chart, dashboard and alerts, each by its trade's linter
	@deploy/lint/run.sh

.PHONY: test-rust
test-rust: ## Rust tests on SQLite and PostgreSQL, with the real binaries
	cargo nextest run --workspace --all-features

.PHONY: test-python
test-python: ## The Python plugin package: unit tests, ruff, mypy --strict
	agent/sdk/python/check.sh

.PHONY: web
web: ## Build the console that goes into the coordinator; nothing to do when its sources have not changed
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory web/node_modules/.package-lock.json && npm --prefix web run --silent build; \
	else echo "web: no npm here; the coordinator is built with a placeholder for its console"; fi

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

.PHONY: test-web
test-web: web ## The console: types, lints, units, and every screen in Chromium against a real coordinator and agent
	npm --prefix web test

.PHONY: bench
bench: ## Measure W1..W14 beside the machine's own limits (W12, the console: npm --prefix web run bench); W=1 runs one
	@deploy/setup.sh test
	cargo build --release --bin nexusmon --bin nexusmon-agent --bin nexusmon-bench
	@exec $(or $(CARGO_TARGET_DIR),target)/release/nexusmon-bench $(if $(W),--only $(W))

# What is counted and printed: orders nobody approved by the reason they are refused for, passkeys' answers that do not hold,
# secrets in every encoding split at every boundary, probes of every sandbox level, bombs and daemons, roles by routes, racers
# for one token, quarantine, a replay of policies, spoilt audit logs, and which test tries which row of docs/threats.md.
FORGED = test(a_thousand_orders_nobody_approved) | test(forged_assertions) | test(five_hundred_canaries) \
	| test(nothing_gets_out_of_level) | test(the_probes_succeed_without_a_sandbox) \
	| test(bombs_end_and_others_go_on) | test(no_process_outlives_its_attempt) \
	| test(every_role_gets_through_where_the_policy_says) | test(of_ten_machines_with_one_token_one_joins) \
	| test(a_quarantined_agent_is_cut_off) | test(a_set_is_tried_put_in_force_and_kept) \
	| test(whatever_is_done_to_a_log_is_found) | test(every_row_has_its_test)

# Every test that docs/threats.md names.
HANDS = $(shell grep -oE '`[a-z0-9]+(_[a-z0-9]+){3,}`' docs/threats.md | tr -d '`' | sort -u | sed 's/.*/test(&)/' | paste -sd '|')

.PHONY: prove
prove: ## Hold the promises against crashes, cuts, sick disks, clocks, planted bugs, forged orders; RUN=kills|consent|hands TIER=small SHARD=1/4 MINUTES=10
	@deploy/setup.sh test
ifneq ($(filter consent,$(or $(RUN),consent)),)
	cargo nextest run --workspace --all-features --no-capture -E '$(FORGED)'
endif
ifneq ($(filter hands,$(RUN)),)
	cargo nextest run --workspace --all-features -E '$(HANDS)'
endif
ifeq ($(filter consent hands,$(RUN)),)
	cargo build --workspace --all-features --bins
	@exec nice -n 10 $(or $(CARGO_TARGET_DIR),target)/debug/nexusmon-prove $(RUN) --resume \
		$(if $(TIER),--tier $(TIER)) $(if $(SHARD),--shard $(SHARD)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))
endif

.PHONY: fmt
fmt: ## Format everything
	cargo fmt --all

.PHONY: doc
doc: ## API documentation, warnings refused
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

.PHONY: deny
deny: ## Licences, advisories, bans and duplicates (needs cargo-deny)
	cargo deny check

.PHONY: clean
clean: ## Remove build output
	cargo clean
	rm -rf web/node_modules web/dist/* web/generated test-results
