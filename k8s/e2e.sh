#!/usr/bin/env bash
# The store on a real cluster, from install to uninstall: prints a line per check, and exits with 1
# if one failed.
#
#     IMAGE=toystore:0.1.0 k8s/e2e.sh
#
# It needs kubectl, helm, curl and the usual Linux tools, a cluster (KUBECONFIG) whose nodes have
# the image or can pull it, and space for a few small volumes. At the end it removes what it
# created: the release, the volume claims, and the namespace, unless that existed before.
#
#     IMAGE       the image, with a tag                             toystore:0.1.0
#     NAMESPACE   the namespace; there must be no store in it yet   toystore-e2e
#     PATIENCE    how long to wait for pods, in seconds             300
#     KEEP        1: keep everything for inspection                    0
#     HELM_ARGS   additional arguments of helm install and upgrade
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

IMAGE=${IMAGE:-toystore:0.1.0}
NAMESPACE=${NAMESPACE:-toystore-e2e}
PATIENCE=${PATIENCE:-300}
KEEP=${KEEP:-0}
read -ra HELM_ARGS <<<"${HELM_ARGS:-}"
RELEASE=toystore
CHART=helm/toystore

work=$(mktemp -d)
passed=0 failed=0
# Set by the steps below; empty if an earlier step failed.
forward_pid='' address='' token='' leader=''
# 1: created here, and to be removed at the end.
made_namespace=0 installed=0

kube() { kubectl --namespace "$NAMESPACE" "$@"; }

# check WHAT COMMAND…: runs the command and prints one line, and its output if it failed.
check() {
    local what=$1 begin=$SECONDS
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        printf 'ok      %s (%d s)\n' "$what" $((SECONDS - begin))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s (%d s)\n' "$what" $((SECONDS - begin))
        tail -n 40 "$work/log" | sed 's/^/            /'
        return 1
    fi
}

# until_true SECONDS COMMAND…: repeats the command until it succeeds or the time is over.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 1
    done
}

stop_forward() {
    [[ -z $forward_pid ]] || { kill "$forward_pid"; wait "$forward_pid"; } 2>/dev/null
    forward_pid=
}

# A terminating pod ends the forward at once; then there is nothing to wait for.
forwards_or_ended() { grep -q 'Forwarding from' "$work/forward" || ! kill -0 "$forward_pid" 2>/dev/null; }

# forward TARGET PORT: sets `address` to a local address that leads there.
forward() {
    stop_forward
    : >"$work/forward"
    kube port-forward --address 127.0.0.1 "$1" ":$2" >"$work/forward" 2>&1 &
    forward_pid=$!
    until_true 30 forwards_or_ended
    grep -q 'Forwarding from' "$work/forward" || { cat "$work/forward"; return 1; }
    address=$(sed -n 's/^Forwarding from \(127\.0\.0\.1:[0-9]*\) .*/\1/p' "$work/forward" | head -n 1)
}

# ask TARGET PORT PATH: writes the answer of an internal port into $work/answer. (Not in pipelines:
# the forward would be lost in a subshell.)
ask() {
    forward "$1" "$2" || return 1
    curl --silent --show-error --fail --max-time 10 --header "x-internal-token: $token" "http://$address$3" >"$work/answer"
}

# expect STATUS PATTERN CURL-ARGUMENTS…: a request to the public API.
expect() {
    local status=$1 pattern=$2 got
    shift 2
    got=$(curl --silent --show-error --max-time 10 --output "$work/body" --write-out '%{http_code}' "$@")
    cat "$work/body"
    if [[ ! $got =~ ^$status$ ]] || ! grep -qE "$pattern" "$work/body"; then
        echo "expected $status and $pattern, got $got"
        return 1
    fi
}

finish() {
    stop_forward
    if [[ $KEEP != 1 && $installed == 1 ]]; then
        helm --namespace "$NAMESPACE" uninstall "$RELEASE" --ignore-not-found
        kube delete jobs -l app.kubernetes.io/component=loadtest --ignore-not-found
        kube delete pvc -l "app.kubernetes.io/instance=$RELEASE" --ignore-not-found --wait=false
    fi >/dev/null 2>&1
    # Wait, so that the next run does not find a terminating namespace.
    [[ $KEEP == 1 || $made_namespace == 0 ]] ||
        kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout="${PATIENCE}s" >/dev/null 2>&1
    rm -rf "$work"
}
trap finish EXIT

helm_do() {
    local verb=$1
    shift
    helm --namespace "$NAMESPACE" "$verb" "$RELEASE" "$CHART" --wait --timeout "${PATIENCE}s" \
        --set-string "image.repository=${IMAGE%:*},image.tag=${IMAGE##*:}" ${HELM_ARGS[@]+"${HELM_ARGS[@]}"} "$@"
}

# An existing namespace is used if it contains no store.
has_namespace() {
    local there
    there=$(kubectl get namespace "$NAMESPACE" --ignore-not-found -o name) || return 1
    if [[ $there ]]; then
        if helm --namespace "$NAMESPACE" status "$RELEASE" || [[ $(kube get pvc -l "app.kubernetes.io/instance=$RELEASE" -o name) ]]; then
            echo "there is a store, or what is left of one, in the namespace $NAMESPACE"
            return 1
        fi
        return
    fi
    kubectl create namespace "$NAMESPACE" && made_namespace=1 &&
        kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/{enforce,warn}=restricted
}

install() {
    installed=1
    helm_do install
}

all_ready() {
    kube rollout status statefulset/toystore-catalog --timeout "${PATIENCE}s" &&
        kube rollout status statefulset/toystore-order --timeout "${PATIENCE}s" &&
        kube rollout status deployment/toystore-frontend --timeout "${PATIENCE}s"
}

no_restarts() {
    local counts
    counts=$(kube get pods -l app.kubernetes.io/part-of=toystore -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}')
    [[ -n $counts && ! $counts =~ [1-9] ]] || { kube get pods; return 1; }
}

the_token() {
    token=$(kube get secret toystore-internal -o jsonpath='{.data.token}' | base64 --decode)
    [[ ${#token} -ge 32 ]]
}

api() {
    local key=6f1f4c1e-0b1a-4a53-9f0e-3f7f4e1d2c3b json='Content-Type: application/json' order='{"name":"Tux","quantity":1}' number
    forward service/toystore-frontend 1110 || return 1
    expect 200 '"name":"Tux","price":25.99,"quantity":' "http://$address/products/Tux" &&
        expect 200 '"name":"Whale"' "http://$address/products" &&
        expect 404 '"error"' "http://$address/products/Nobody" &&
        expect 200 '"order_number":' -H "$json" -H "Idempotency-Key: $key" -d "$order" "http://$address/orders" || return 1
    number=$(grep -oE '[0-9]+' "$work/body" | tail -n 1)
    expect 200 "\"order_number\":$number\}" -H "$json" -H "Idempotency-Key: $key" -d "$order" "http://$address/orders" &&
        expect 422 '"error"' -H "$json" -H "Idempotency-Key: $key" -d '{"name":"Fox","quantity":1}' "http://$address/orders" &&
        expect 200 "\"number\":$number,\"name\":\"Tux\",\"quantity\":1" "http://$address/orders/$number" &&
        expect 404 '"error"' "http://$address/orders/999999999" &&
        expect 400 '"error"' -H "$json" -d '{"name":"Tux","quantity":0}' "http://$address/orders" &&
        expect 409 '"error"' -H "$json" -d '{"name":"Tux","quantity":1000000}' "http://$address/orders"
}

# Internal ports refuse requests without the token.
guarded() {
    local target
    for target in "pod/toystore-order-0 1121 /status" "pod/toystore-catalog-0 1130 /accounts" "deployment/toystore-frontend 1111 /cache"; do
        # shellcheck disable=SC2086
        set -- $target
        forward "$1" "$2" && expect '40[13]' '"error"' "http://$address$3" || return 1
    done
}

# client_job NAME SED-ARGUMENTS…: creates a Job from that of the load test.
client_job() {
    local name=$1
    shift
    sed -e "s|^  generateName: .*|  name: \"$name\"|; s|^  namespace: .*|  namespace: \"$NAMESPACE\"|; s|^\( *\)image: .*|\1image: \"$IMAGE\"|" \
        -e "s|^  backoffLimit: .*|  backoffLimit: 0|" "$@" k8s/loadtest/job.yaml | kube create -f -
}

# shop NAME COMPLETIONS: runs shoppers (`toystore client`, which retries: a small cluster needs time
# to replace a pod), two pods at a time. A pod fails if a request fails for good, or if an order is
# not as it was acknowledged; the first failing pod fails the Job.
shop() {
    client_job "$1" -e "s|^  backoffLimit: .*|&\n  completions: $2\n  parallelism: 2|" \
        -e 's|^\( *\)- "load"$|\1- client|' \
        -e 's|^\( *\)- name: "P"$|\1- name: N_THREADS\n\1  value: "4"\n\1- name: N_REPEATS\n\1  value: "2000"\n\1- name: TRIES\n\1  value: "10"\n\1- name: ORDERS_FILE\n\1  value: /data/orders.csv\n&|' \
        -e '/name: "P"$/{n;s|value: .*|value: "0.02"|;}'
}

# visits NAME SECONDS: visitors arrive at a steady rate (`toystore load`); half of them order, and
# none retries.
visits() {
    client_job "$1" -e "/name: \"SECONDS\"$/{n;s|value: .*|value: \"$2\"|;}" -e '/name: "RATE"$/{n;s|value: .*|value: "20"|;}' \
        -e '/name: "P"$/{n;s|value: .*|value: "0.5"|;}' -e '/name: "THRESHOLDS"$/{n;s|value: .*|value: "errors<0.001%,order max<2s"|;}'
}

is_loading() { kube logs "job/$1" 2>/dev/null | grep -q '"message":"load"'; }

# unnoticed NAME COMMAND…: runs the command while visitors arrive that do not retry. No request may
# fail, and no order may take 2 s: errors and latencies are in the report.
unnoticed() {
    local job=visits-$1
    shift
    if ! { visits "$job" 240 && until_true "$PATIENCE" is_loading "$job" && "$@"; }; then
        kube delete job "$job" --wait=false
        return 1
    fi
    if job_is_over "$job"; then
        kube logs "job/$job" --tail 40
        echo "the load was over before the command was: nothing is shown"
        return 1
    fi
    job_succeeded "$job" && kube delete job "$job"
}

of_job() { kube get job "$1" -o "jsonpath=$2"; }

job_is_over() { [[ $(of_job "$1" '{.status.conditions[?(@.type=="Complete")].status}{.status.conditions[?(@.type=="Failed")].status}') ]]; }

job_succeeded() {
    until_true "$PATIENCE" job_is_over "$1"
    kube logs "job/$1" --tail 30
    [[ $(of_job "$1" '{.status.conditions[?(@.type=="Complete")].status}') == True ]]
}

shopping() { shop "$1" 2 && job_succeeded "$1"; }

has_succeeded_pods() { (($(of_job "$1" '{.status.succeeded}') + 0 >= $2)) || job_is_over "$1"; }

# under_load NAME COMMAND…: runs the command while shoppers shop; none of them may fail.
under_load() {
    local job=shoppers-$1 before
    shift
    if ! { shop "$job" 1000 && until_true "$PATIENCE" has_succeeded_pods "$job" 1 && "$@"; }; then
        # The next step begins without them.
        kube delete job "$job" --wait=false
        return 1
    fi
    # The result of the shoppers that ran until the end counts, too.
    before=$(of_job "$job" '{.status.succeeded}')
    until_true "$PATIENCE" has_succeeded_pods "$job" $((before + 3))
    kube get job "$job"
    if job_is_over "$job"; then
        kube get pods -l "batch.kubernetes.io/job-name=$job" --field-selector=status.phase=Failed -o name |
            head -n 1 | xargs -r kubectl --namespace "$NAMESPACE" logs --tail 30
        kube delete job "$job" --wait=false
        return 1
    fi
    kube delete job "$job"
}

# Sets `leader` to the pod of the order leader.
find_leader() {
    local pod
    for pod in $(kube get pods -l app.kubernetes.io/component=order -o name); do
        if ask "$pod" 1121 /status && grep -q '"role":"leader"' "$work/answer"; then
            leader=$pod
            return
        fi
    done
    return 1
}

another_leads() { find_leader && [[ $leader != "$1" ]]; }

leader_dies() {
    local old
    find_leader && old=$leader && kube delete "$old" --grace-period=1 --wait=false && until_true 60 another_leads "$old" &&
        echo "led: $old, leads: $leader" && kube rollout status statefulset/toystore-order --timeout "${PATIENCE}s"
}

order_uids() { kube get pods toystore-order-0 toystore-order-1 toystore-order-2 -o jsonpath='{.items[*].metadata.uid}'; }

has_voters() {
    local voters
    find_leader || return 1
    voters=$(grep -oE '"voters":\[[^]]*\]' "$work/answer" | grep -oE '[0-9]+' | wc -l)
    echo "voters: $voters"
    ((voters == $1))
}

# scaled TO COMMAND…: the command changes the number of replicas without restarting the remaining
# pods.
scaled() {
    local to=$1 before
    shift
    before=$(order_uids)
    "$@" && until_true 60 has_voters "$to" || return 1
    [[ $(order_uids) == "$before" ]] || { echo "pods were restarted"; return 1; }
}

scale() { scaled "$1" helm_do upgrade --set order.replicas="$1"; }

scale_and_roll_back() { scale 5 && scaled 3 helm_rollback; }

helm_rollback() { helm --namespace "$NAMESPACE" rollback "$RELEASE" --wait --timeout "${PATIENCE}s"; }

upgrade() { helm_do upgrade --set log.level=debug && all_ready; }

roll_back() { helm_rollback && all_ready; }

load_tests() { kube get jobs -l app.kubernetes.io/component=loadtest,helm.sh/chart -o 'jsonpath={.items[*].metadata.name}={.items[*].metadata.uid}'; }

# The Job and its log remain after further upgrades, and it has run once.
load_test() {
    local first
    helm_do upgrade --set loadTest.enabled=true,loadTest.seconds=20 && first=$(load_tests) && job_succeeded "${first%=*}" || return 1
    helm_do upgrade --set loadTest.enabled=true,loadTest.seconds=20,scaleIn.activeDeadlineSeconds=241 && helm_do upgrade || return 1
    [[ $(load_tests) == "$first" ]] && kube logs "job/${first%=*}" --tail 3
}

# An upgrade cannot change the volumes' size: it is refused, and nothing changes.
refused_as_a_whole() {
    local before
    before=$(kube get statefulsets,deployments -o 'jsonpath={.items[*].metadata.generation}')
    ! helm_do upgrade -f "$CHART/values-ha.yaml" --set order.persistence.size=2Gi,order.resources.requests.cpu=51m >"$work/refusal" 2>&1 || return 1
    cat "$work/refusal"
    grep -q 'delete statefulset toystore-order --cascade=orphan' "$work/refusal" &&
        [[ $(kube get statefulsets,deployments -o 'jsonpath={.items[*].metadata.generation}') == "$before" ]]
}

# A group of one grows to three by itself.
catalogs_in_and_out() { helm_do upgrade --set catalog.replicas=1 && all_ready && helm_do upgrade && all_ready; }

# Orders are numbered without gaps, and every replica has the same orders.
same_orders() {
    local last pod sums=() json='Content-Type: application/json'
    forward service/toystore-frontend 1110 && expect 200 order_number -H "$json" -d '{"name":"Fox","quantity":1}' "http://$address/orders" || return 1
    last=$(grep -oE '[0-9]+' "$work/body" | tail -n 1)
    for pod in 0 1 2; do
        forward "pod/toystore-order-$pod" 1121 || return 1
        curl --silent --show-error --fail --retry 5 --retry-all-errors --header "x-internal-token: $token" \
            "http://$address/orders/[1-$last]" >"$work/orders" || return 1
        sums+=("$(sha256sum <"$work/orders")")
    done
    printf '%s\n' "$last orders" "${sums[@]}"
    [[ ${sums[0]} == "${sums[1]}" && ${sums[1]} == "${sums[2]}" ]]
}

# Per product: initial + restocked = stock + sold, and sold is what was ordered.
books_balance() {
    ask pod/toystore-catalog-0 1130 /accounts || return 1
    tr '{' '\n' <"$work/answer" | grep '"initial"' >"$work/account-lines"
    tr '{' '\n' <"$work/orders" | grep '"number"' >"$work/order-lines"
    awk '
        function field(name) { match($0, "\"" name "\":\"?[^,\"}]*"); v = substr($0, RSTART, RLENGTH); sub(/^[^:]*:"?/, "", v); return v }
        FILENAME ~ /order-lines/ { ordered[field("name")] += field("quantity"); next }
        {
            name = field("name"); products++
            had = field("initial") + field("restocked"); sold = field("sold"); has = field("stock") + sold + field("reserved")
            if (had != has || sold + field("reserved") != ordered[name] + 0) { print name ": " $0 ", ordered " ordered[name]; wrong = 1 }
        }
        END { print products " products"; exit wrong || !products }
    ' "$work/order-lines" "$work/account-lines"
}

# Everything that the console knows is in its history. (Not in a pipeline, as above.)
console_shows() {
    local part
    curl --silent --show-error --fail --max-time 10 "http://$address/api/history" >"$work/history" || return 1
    for part in '"service":"frontend"' '"name":"catalog-3"' '"name":"order-3"'; do
        grep -q "$part" "$work/history" || return 1
    done
}

# It shows the processes, changes nothing, and only `kubectl port-forward` reaches it: neither a
# page that leads its own name here, nor another pod. (That pod reaches the others of the store.)
console() {
    local control='{"action":"kill","process":"order-1"}' ip catalog
    helm_do upgrade --set console.enabled=true &&
        kube rollout status deployment/toystore-console --timeout "${PATIENCE}s" &&
        forward deployment/toystore-console 1100 &&
        expect 200 '<html' "http://$address/" &&
        expect 200 '"controls":false' "http://$address/api/about" &&
        until_true 60 console_shows &&
        expect 421 wrong_host -H 'Host: evil.example' "http://$address/api/history" &&
        expect 404 '"error"' -H 'X-Toystore-Console: 1' -H 'Content-Type: application/json' -d "$control" "http://$address/api/control" || return 1
    ip=$(kube get pods -l app.kubernetes.io/component=console -o 'jsonpath={.items[0].status.podIP}')
    catalog=$(kube get pod toystore-catalog-0 -o 'jsonpath={.status.podIP}')
    [[ $ip == *:* ]] && ip="[$ip]" catalog="[$catalog]"
    kube exec toystore-order-0 -- /toystore health --url "http://$catalog:1130/healthz" || return 1
    ! kube exec toystore-order-0 -- /toystore health --url "http://$ip:1100/healthz"
}

uninstall() {
    helm --namespace "$NAMESPACE" uninstall "$RELEASE" --wait --timeout "${PATIENCE}s" || return 1
    local ours="app.kubernetes.io/instance=$RELEASE,app.kubernetes.io/managed-by=Helm"
    kube get deployments,statefulsets,jobs,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies -l "$ours" -o name >"$work/left"
    cat "$work/left"
    [[ ! -s $work/left && -n $(kube get pvc -l "app.kubernetes.io/instance=$RELEASE" -o name) ]]
}

check "the cluster answers" kubectl version &&
    check "a namespace without a store" has_namespace &&
    check "install" install &&
    check "all pods are ready" all_ready || exit 1
check "no pod was restarted" no_restarts
check "the internal token" the_token
check "the REST API" api
check "internal ports require the token" guarded
check "shoppers" shopping shoppers-first
check "the leader's pod is deleted under load" under_load failover leader_dies
check "orders scaled from 3 to 5 under load" under_load scale-out scale 5
check "orders scaled from 5 to 3 under load" under_load scale-in scale 3
check "orders scaled to 5 and rolled back to 3 under load" under_load scale-back scale_and_roll_back
check "catalogs scaled from 3 to 1 and to 3 under load" under_load catalogs catalogs_in_and_out
check "an upgrade that Kubernetes would refuse half-way is refused before it starts" refused_as_a_whole
check "upgrade: every pod is replaced, and no request fails" unnoticed upgrade upgrade
check "rollback: every pod is replaced, and no request fails" unnoticed rollback roll_back
check "the console shows the store, and only to kubectl port-forward" console
check "the load test Job runs once" load_test
check "helm test" helm --namespace "$NAMESPACE" test "$RELEASE" --timeout "${PATIENCE}s"
check "all replicas have the same orders, without gaps" same_orders
check "the accounts balance" books_balance
[[ $KEEP == 1 ]] || check "uninstall keeps the volumes" uninstall

printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
