# shellcheck shell=bash
# Short names for what the lessons do in a terminal. Source it in the repository's directory, in
# bash:
#
#     . docs/lessons/lesson.sh
#
# A store that does not have the usual ports and files is named by PORT_BASE, CONSOLE_PORT and
# DATA_DIR, another program by TOYSTORE. `happened` needs jq; everything else needs curl.

base=${PORT_BASE:-1110}
console=${CONSOLE_PORT:-1100}
data=${DATA_DIR:-data}

# The program.
toystore() { "${TOYSTORE:-target/release/toystore}" "$@"; }

# new_store [OPTIONS]: the store of a lesson, without the data of the one before. It has two
# frontends, and so many pieces that shoppers do not buy everything (only Barrels are few).
new_store() {
    # Only what `toystore up` has made is removed.
    [ ! -e "$data/internal-token" ] || rm -rf "$data"
    old_store "$@"
}

# old_store [OPTIONS]: the same store again, with its data.
old_store() {
    CONSOLE_PORT=$console toystore up --port-base "$base" --data-dir "$data" --frontends 2 \
        --catalog-file docs/lessons/products.csv "$@"
}

# control JSON: does what a button of the console does.
control() {
    curl -sS "localhost:$console/api/control" -H 'X-Toystore-Console: 1' \
        -H 'Content-Type: application/json' --data "$1" && echo
}

# The button "Heal all".
heal() { control '{"action":"heal_all"}'; }

# product NAME: reads a product. `frontend=2 product Tux` asks the second frontend.
product() {
    curl -sS -w '  %{http_code} after %{time_total} s\n' \
        "localhost:$((base + 2 * ${frontend:-1} - 2))/products/$1"
}

# order NAME [QUANTITY [KEY]]: orders a product, with an idempotency key if there is one.
order() {
    curl -sS -w '  %{http_code} after %{time_total} s\n' \
        "localhost:$((base + 2 * ${frontend:-1} - 2))/orders" ${3:+"-HIdempotency-Key: $3"} \
        -H 'Content-Type: application/json' --data "{\"name\":\"$1\",\"quantity\":${2:-1}}"
}

# inside PROCESS PATH [OPTIONS OF CURL]: asks a process's internal port.
inside() {
    local process=$1 url=$2 port
    shift 2
    case $process in
        catalog*) port=$((base + 20)) ;;
        order-*) port=$((base + 10 + ${process#order-})) ;;
        frontend | frontend-1) port=$((base + 1)) ;;
        *) port=$((base + 2 * ${process#frontend-} - 1)) ;;
    esac
    curl -sS -H "x-internal-token: $(cat "$data/internal-token")" "localhost:$port$url" "$@" && echo
}

# account NAME: what the catalog has of a product: in stock, reserved, sold, restocked.
account() { inside catalog /accounts | tr '{' '\n' | grep "\"name\":\"$1\""; }

# The processes: who leads, how far each log is.
processes() { toystore status --data-dir "$data" || true; }

# The order leader, and the other order replicas, by name.
leader() { processes 2>/dev/null | awk '/^order.* leader of term/ { print $1 }'; }
followers() { processes 2>/dev/null | awk '/^order.* follows/ { print $1 }'; }

# happened [N]: the last N (20) notable events, as the console's log shows them.
happened() {
    curl -sS "localhost:$console/api/history" | jq -r --argjson n "${1:-20}" '
        [.frames[].events[]? | select(.notable)] | .[-$n:][]
        | (.at_ms / 1000 | floor | strflocaltime("%T")) as $time
        | (.at_ms % 1000 | floor | tostring | ("00" + .)[-3:]) as $ms
        | .process as $process
        | "\($time).\($ms)  \(if .text | startswith($process) then "" else $process + " " end)\(.text)"'
}
