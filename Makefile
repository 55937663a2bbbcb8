# What people and CI run. `make` alone lists it.
.PHONY: help check test simulate prove fuzz foreign bench demo ci

help: ## Lists what can be run
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

check: ## Formatting, lints, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --all-targets --features saml -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --features saml --no-deps

test: ## All tests
	cargo test --workspace

simulate: ## Ten thousand seeds of the simulation, and every statement of its story failing in every way (minutes)
	ROOKERY_SEEDS=10000 cargo test --release --workspace --test sim -- --nocapture --test-threads=1

prove: ## Every promise in its full size, one after the other (minutes to an hour)
	ROOKERY_PROVE=full cargo test --release --workspace --test promises -- --nocapture --test-threads=1

fuzz: ## Five million inputs for all parsers together, with overflow checks (about ten minutes)
	CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true ROOKERY_FUZZ=5000000 \
		cargo test --release -p protocol --test fuzz campaign -- --nocapture

foreign: ## Foreign programs against a running server
	tests/foreign/run

bench: ## Polls and command cycles a second, CPU a request, beside the bare minimum
	cargo bench --bench host_turn

demo: ## A server with simulated devices, until Ctrl-C
	cargo run --release -- demo

ci: ## Exactly what CI runs
	.ci/run
