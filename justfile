# Common commands. `just --list` shows them.

# Run the store with shoppers.
up *arguments:
    cargo run --release -- up --shop {{arguments}}

# Run all tests.
test:
    cargo test --workspace

# What CI runs before the tests: format, lints, documentation, sources.
check:
    cargo fmt --all --check
    bash ci/sources
    bash ci/python
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Check licenses, bans and sources of the dependencies.
audit:
    cargo deny check bans licenses sources

# Check the chart, the manifests, the scripts and the workflows, without a cluster.
chart:
    bash ci/chart

# Write what is generated from the chart: its README's table, and k8s/.
chart-write:
    bash ci/chart write

# Check dashboards, rules and alerts, with a real Prometheus and a real store.
monitoring:
    bash ci/monitoring

# Write the dashboards' JSON into the chart.
monitoring-write:
    bash ci/monitoring write

# Build and check the image and the store of compose.yaml. Needs Docker with Compose.
image:
    bash ci/image

# Generate clients from the REST API's document; they shop and decode every answer.
generators:
    bash ci/generators

# Test the REST API against its document, e.g. `just schemathesis --max-examples 2000`.
schemathesis *arguments:
    bash ci/schemathesis {{arguments}}

# Run every fuzz target, or the named ones, for a number of seconds.
fuzz seconds="20" *targets:
    bash ci/fuzz {{seconds}} {{targets}}

# Benchmarks beside etcd, PostgreSQL, nginx and bare hyper (`just bench P3`, `just bench --quick`);
# writes docs/performance.md.
bench *arguments:
    bash bench/run {{arguments}}

# Compare the hot paths' instructions with their baseline. Needs valgrind.
hotpaths:
    cargo bench -p toystore --bench hotpaths --locked

# Run all of CI.
ci:
    bash .ci/run
