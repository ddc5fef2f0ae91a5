# Sourced by the checks: starts a store for a check. TOYSTORE names the binary; without it a release
# build is made.

# open_store [OPTION …]: starts `toystore up`, without its console, in a new directory, and stops it
# at exit. Sets `store` (its process), `data` (the directory) and `api` (the URL of its REST API).
open_store() {
    data=$(mktemp -d)
    if [[ -z ${TOYSTORE:-} ]]; then
        cargo build --release --locked --quiet
        TOYSTORE=$(realpath "${CARGO_TARGET_DIR:-target}")/release/toystore
    fi
    TOYSTORE=$(realpath "$TOYSTORE")
    "$TOYSTORE" up --ephemeral --console-port 0 --data-dir "$data" "$@" >"$data/up.txt" 2>"$data/up.log" &
    store=$!
    trap 'kill "$store" 2>/dev/null && wait "$store" || true; rm -rf "$data"' EXIT
    until grep -q '^Ctrl-C' "$data/up.txt"; do
        store_lives
        sleep 0.1
    done
    api=http://$(awk '$1 == "frontend" { print $3 }' "$data/up.txt")
}

# Fails if a process of the store has died.
store_lives() {
    if ! kill -0 "$store" 2>/dev/null || grep -q ' exited (' "$data/up.txt"; then
        echo "a process of the store has died:"
        tail -n 50 "$data/up.txt" "$data/up.log"
        exit 1
    fi
}

# environment NAME REQUIREMENTS: sets `venv` to a Python environment that has them.
environment() {
    venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$1
    if ! cmp -s "$2" "$venv/requirements.txt"; then
        "${PYTHON:-python3}" -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
        cp "$2" "$venv/requirements.txt"
    fi
}
