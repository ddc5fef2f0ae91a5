# What developers of the store type. `just --list` shows this.

# Run the store with shoppers.
up *arguments:
    cargo run --release -- up --shop {{arguments}}

# All tests.
test:
    cargo test --workspace

# What CI runs before the tests.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Licences, bans and sources of the dependencies (advisories too, where their database can be fetched).
audit:
    cargo deny check bans licenses sources

# Chart and Kubernetes manifests, as far as they can be checked without a cluster.
chart:
    bash .ci/chart

# Writes what is made from the chart: its README's table, and k8s/.
chart-write:
    bash .ci/chart write

# Dashboards, rules and alerts; with a real Prometheus and a real store.
monitoring:
    bash .ci/monitoring

# Writes the dashboards' JSON into the chart.
monitoring-write:
    bash .ci/monitoring write

# The image, and the store of compose.yaml: built, judged, broken. Wants Docker with Compose.
image:
    bash .ci/image

# The REST API against its own document, e.g. `just schemathesis --max-examples 2000`.
schemathesis *arguments:
    bash .ci/schemathesis {{arguments}}

# Every fuzz target for so many seconds, or those that are named.
fuzz seconds="20" *targets:
    bash .ci/fuzz {{seconds}} {{targets}}

# How fast it is, beside etcd and bare hyper: `just bench`, `just bench P3`, `just bench --quick`. Writes docs/performance.md.
bench *arguments:
    bash loadtest/bench/run {{arguments}}

# Instructions of the hot paths, beside those of crates/hotpaths/baseline; `just hotpaths renew` takes them as the new ones.
hotpaths *arguments:
    bash .ci/hotpaths {{arguments}}

# All of CI.
ci:
    bash .ci/run
