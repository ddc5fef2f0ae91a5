# Sourced by the checks: starts a store for a check. TOYSTORE names the binary; without it a release
# build is made.

# open_store DIRECTORY [OPTION …]: sets `store` (its process) and `api` (the URL of its REST API),
# and stops it at exit.
open_store() {
    data=$1
    if [[ -z ${TOYSTORE:-} ]]; then
        cargo build --release --locked --quiet
        TOYSTORE=$(realpath "${CARGO_TARGET_DIR:-target}")/release/toystore
    fi
    "$TOYSTORE" up --ephemeral --no-restart --data-dir "$data" "${@:2}" >"$data/up.txt" 2>"$data/up.log" &
    store=$!
    trap 'kill "$store" 2>/dev/null && wait "$store" || true; rm -rf "$data"' EXIT
    until grep -q '^Ctrl-C' "$data/up.txt"; do
        store_lives
        sleep 0.1
    done
    api=http://$(awk '$1 == "frontend" { print $3 }' "$data/up.txt")
}

# With --no-restart the store ends when one of its processes does.
store_lives() {
    kill -0 "$store" 2>/dev/null || { echo "a process of the store has died:"; tail -n 50 "$data/up.txt" "$data/up.log"; exit 1; }
}

# environment NAME REQUIREMENTS: sets `venv` to a Python environment that has them.
environment() {
    venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$1
    if ! cmp -s "$2" "$venv/requirements.txt"; then
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$2"
        cp "$2" "$venv/requirements.txt"
    fi
}
