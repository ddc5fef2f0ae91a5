{{/*
Names and fields that several objects share.

A helper for one component takes a dictionary: `root` is the chart's context, `component` its name
(frontend, catalog, order …), `values` the component's part of the values.
*/}}

{{- define "toystore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
The prefix of every object's name. 40 characters leave room for the longest suffix: the names of a
StatefulSet's pods and of the label `controller-revision-hash` have 63 at most. The name of a
release may have dots, that of a service may not.
*/}}
{{- define "toystore.fullname" -}}
{{- $name := include "toystore.name" . -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- $full = .Values.fullnameOverride | default $full | replace "." "-" -}}
{{- /* The name of a service must begin with a letter, that of a release need not. */ -}}
{{- if regexMatch "^[0-9]" $full -}}
{{- $full = printf "toystore-%s" $full -}}
{{- end -}}
{{- $full | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
Any value as YAML in which every string is quoted. (`toYaml` leaves some strings unquoted that are
no strings to every reader, such as `=` and `0o14`; and an unquoted value in a template may be
`123`, `1e3`, `null` or a date.)
*/}}
{{- define "toystore.yaml" -}}
{{- if and (kindIs "map" .) . -}}
{{- $lines := list -}}
{{- range $key, $value := . -}}
{{- $is_word := and (regexMatch "^([a-z.]+/)?[A-Za-z][-A-Za-z]*$" $key) (not (has (lower $key) (list "y" "n" "yes" "no" "on" "off" "true" "false" "null"))) -}}
{{- $key = ternary $key (quote $key) $is_word -}}
{{- $below := include "toystore.yaml" $value -}}
{{- $is_block := and $value (or (kindIs "map" $value) (kindIs "slice" $value)) -}}
{{- $lines = append $lines (printf "%s:%s" $key (ternary (nindent 2 $below) (printf " %s" $below) (not (not $is_block)))) -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- else if and (kindIs "slice" .) . -}}
{{- $lines := list -}}
{{- range . -}}
{{- $lines = append $lines (include "toystore.yaml" . | nindent 2 | trim | printf "- %s") -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- else if kindIs "string" . -}}
{{- quote . -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/*
The chart's own labels or annotations (`own`, as YAML), merged with the user's (`more`, called
`from` in the values). The user's take precedence, except over the labels that select objects and
pods.
*/}}
{{- define "toystore.merged" -}}
{{- $own := fromYaml .own -}}
{{- $more := .more | default dict -}}
{{- range $key := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/managed-by" "toystore/metrics" -}}
{{- if and (hasKey $own $key) (hasKey $more $key) (ne (get $own $key) (get $more $key)) -}}
{{- printf "%s: the label %s is %q in this release and cannot be %q, because services and policies select their pods by it. Remove it" $.from $key (get $own $key) (get $more $key) | fail -}}
{{- end -}}
{{- end -}}
{{- include "toystore.yaml" (merge (deepCopy $more) $own) -}}
{{- end -}}

{{/* The name of a component's objects. */}}
{{- define "toystore.componentName" -}}
{{ include "toystore.fullname" .root }}-{{ .component }}
{{- end -}}

{{/*
The labels that select a component's pods. They never change, because selectors and volume claims
cannot.
*/}}
{{- define "toystore.selectorLabels" -}}
app.kubernetes.io/name: {{ include "toystore.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{/* Marks pods that have metrics on their internal ports. */}}
{{- define "toystore.metricsLabel" -}}
toystore/metrics: internal
{{- end -}}

{{/* For a Prometheus without an operator: `metricsPort`. */}}
{{- define "toystore.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ .metricsPort | quote }}
{{- end -}}

{{/*
The labels of an object. Pods do not have the chart's version, so that a new chart alone does not
restart them.
*/}}
{{- define "toystore.labels" -}}
{{ include "toystore.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/part-of: toystore
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/*
`metadata` of a component's object. Optional: `suffix` (such as "-peers"), more `labels` (`from`
names the value), `annotations`.
*/}}
{{- define "toystore.metadata" -}}
name: {{ printf "%s%s" (include "toystore.componentName" .) (.suffix | default "") | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "toystore.merged" (dict "own" (include "toystore.labels" .) "more" .labels "from" .from) | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- include "toystore.yaml" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The chart's own labels and annotations of the store's pods. Those with a `metricsPort` are scraped.
*/}}
{{- define "toystore.podLabels" -}}
{{ include "toystore.selectorLabels" . }}
app.kubernetes.io/part-of: toystore
{{- if .metricsPort }}
{{ include "toystore.metricsLabel" . }}
{{- end }}
{{- end -}}
{{- define "toystore.podAnnotations" -}}
kubectl.kubernetes.io/default-container: {{ .component | quote }}
{{- if and .metricsPort .root.Values.metrics.scrapeAnnotations }}
{{ include "toystore.scrapeAnnotations" . }}
{{- end }}
{{- end -}}

{{/* `metadata` of a pod template of the store. */}}
{{- define "toystore.podMetadata" -}}
labels:
  {{- $from := printf "%s.podLabels" .component }}
  {{- include "toystore.merged" (dict "own" (include "toystore.podLabels" .) "more" .values.podLabels "from" $from) | nindent 2 }}
annotations:
  {{- include "toystore.merged" (dict "own" (include "toystore.podAnnotations" .) "more" .values.podAnnotations) | nindent 2 }}
{{- end -}}

{{/*
The image: by digest if there is one, because only a digest always names the same bytes. A tag of
digits alone is a number, unless it is quoted.
*/}}
{{- define "toystore.image" -}}
{{- with .Values.image -}}
{{- $repository := empty .registry | ternary .repository (printf "%s/%s" .registry .repository) -}}
{{- if .digest -}}
{{ $repository }}@{{ .digest }}
{{- else -}}
{{ $repository }}:{{ kindIs "string" .tag | ternary .tag (int64 .tag | toString) | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
What all pods have in common. `token: true` mounts the service account's token, for pods that watch
EndpointSlices; `account` names the account, if it is not the component's own.
*/}}
{{- define "toystore.podSpec" -}}
serviceAccountName: {{ printf "%s-%s" (include "toystore.fullname" .root) (.account | default .component) | quote }}
automountServiceAccountToken: {{ .token | default false }}
# Kubernetes would set variables like ORDER_PORT=tcp://… for services of that name, and the
# store reads such variables.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- include "toystore.yaml" . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "toystore.yaml" .root.Values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- include "toystore.yaml" . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- include "toystore.yaml" . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- include "toystore.yaml" . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Spreads replicas by the component's `topologySpread`. Nodes whose taints keep the pods away (the
control plane) do not count; otherwise they would be empty nodes that no pod can use. Where sharing
a node is forbidden, no two replicas of a group (`minDomains`) share one, even while there are fewer
nodes than replicas: without a minimum number of domains the remaining nodes would be filled evenly.
*/}}
{{- define "toystore.topologySpread" -}}
{{- $keys := dict "hostname" "kubernetes.io/hostname" "zone" "topology.kubernetes.io/zone" -}}
{{- $constraints := list -}}
{{- range $what, $key := $keys -}}
{{- $unsatisfiable := index $.values.topologySpread $what -}}
{{- if ne $unsatisfiable "Ignore" -}}
{{- $constraint := dict "maxSkew" 1 "topologyKey" $key "whenUnsatisfiable" $unsatisfiable "nodeTaintsPolicy" "Honor" -}}
{{- $_ := set $constraint "labelSelector" (dict "matchLabels" (include "toystore.selectorLabels" $ | fromYaml)) -}}
{{- if and $.minDomains (eq $what "hostname") (eq $unsatisfiable "DoNotSchedule") }}{{ $_ := set $constraint "minDomains" $.minDomains }}{{ end -}}
{{- with $.matchLabelKeys }}{{ $_ := set $constraint "matchLabelKeys" . }}{{ end -}}
{{- $constraints = append $constraints $constraint -}}
{{- end -}}
{{- end -}}
{{- with $constraints -}}
topologySpreadConstraints:
  {{- include "toystore.yaml" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* What all containers have in common. The image's entry point is the program. */}}
{{- define "toystore.container" -}}
name: {{ .component | quote }}
image: {{ include "toystore.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy | quote }}
securityContext:
  {{- include "toystore.yaml" .root.Values.containerSecurityContext | nindent 2 }}
resources:
  {{- include "toystore.yaml" .values.resources | nindent 2 }}
{{- end -}}

{{- define "toystore.logEnv" -}}
- name: LOG_FORMAT
  value: {{ .root.Values.log.format | quote }}
- name: LOG_LEVEL
  value: {{ .root.Values.log.level | quote }}
{{- end -}}

{{/* The environment of every process that serves the store's traffic. */}}
{{- define "toystore.env" -}}
{{ include "toystore.logEnv" . }}
# Every address, of each family that the cluster gives to pods.
- name: BIND_HOST
  value: "::"
{{ include "toystore.discoveryEnv" . }}
{{- end -}}

{{/* How a process finds the replicas, and what it shows them. */}}
{{- define "toystore.discoveryEnv" -}}
- name: DISCOVERY
  value: kubernetes
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: CATALOG_SERVICE
  value: {{ include "toystore.fullname" .root | printf "%s-catalog-peers" | quote }}
- name: ORDER_SERVICE
  value: {{ include "toystore.fullname" .root | printf "%s-order-peers" | quote }}
{{ include "toystore.tokenEnv" . }}
{{- end -}}

{{/* The process derives a replica's ordinal from its pod's name: pod `…-0` has ordinal 1. */}}
{{- define "toystore.ordinalEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}

{{- define "toystore.tokenEnv" -}}
- name: INTERNAL_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "toystore.tokenSecret" .root | quote }}
      key: {{ .root.Values.internalToken.key | quote }}
{{- end -}}

{{- define "toystore.tokenSecret" -}}
{{- .Values.internalToken.existingSecret | default (printf "%s-internal" (include "toystore.fullname" .)) -}}
{{- end -}}

{{/*
Probes on the internal port. Startup: a replica reads its whole ledger first, so it gets ten
minutes. Readiness: its own, never that of its peers; otherwise one dead replica would take all of
them out of service. Liveness: the process answers at all. After a real failure the process ends by
itself.
*/}}
{{- define "toystore.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: internal
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 300
readinessProbe:
  httpGet:
    path: /readyz
    port: internal
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /healthz
    port: internal
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/*
A pod that acts as a client of the store (a test, a load test, scaling in), with a directory /data
for its files: `args`, `env`, `values` (resources and scheduling). It may have metrics
(`metricsPort`), and small files in /etc/toystore (`files`, texts by name). These are annotations of
the pod itself, so that it depends on no other object.
*/}}
{{- define "toystore.clientPod" -}}
{{- $annotations := dict -}}
{{- if and .metricsPort .root.Values.metrics.scrapeAnnotations -}}
{{- $annotations = include "toystore.scrapeAnnotations" . | fromYaml -}}
{{- end -}}
{{- range $name, $text := .files -}}
{{- $_ := set $annotations (printf "toystore/%s" $name) (trim $text | printf "%s\n") -}}
{{- end -}}
metadata:
  labels:
    {{- include "toystore.selectorLabels" . | nindent 4 }}
    {{- if .metricsPort }}
    {{ include "toystore.metricsLabel" . }}
    {{- end }}
  {{- with $annotations }}
  annotations:
    {{- include "toystore.yaml" . | nindent 4 }}
  {{- end }}
spec:
  {{- include "toystore.podSpec" (merge (dict "account" "client") .) | nindent 2 }}
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  containers:
    - {{ include "toystore.container" . | nindent 6 | trim }}
      args:
        {{- include "toystore.yaml" .args | nindent 8 }}
      env:
        {{- include "toystore.logEnv" . | nindent 8 }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- with .metricsPort }}
      ports:
        - name: internal
          containerPort: {{ . }}
      {{- end }}
      volumeMounts:
        - name: data
          mountPath: /data
        {{- if .files }}
        - name: files
          mountPath: /etc/toystore
          readOnly: true
        {{- end }}
  volumes:
    - name: data
      emptyDir:
        sizeLimit: 1Gi
    {{- with .files }}
    - name: files
      downwardAPI:
        items:
          {{- range $name, $_ := . }}
          - path: {{ $name | quote }}
            fieldRef:
              fieldPath: {{ printf "metadata.annotations['toystore/%s']" $name | quote }}
          {{- end }}
    {{- end }}
{{- end -}}

{{/*
The volume of a StatefulSet's pods. Its labels cannot change later, so they contain no versions.
*/}}
{{- define "toystore.volumeClaim" -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels:
        {{- include "toystore.selectorLabels" . | nindent 8 }}
    spec:
      accessModes: [{{ .values.persistence.accessMode | quote }}]
      {{- with .values.persistence.storageClass }}
      storageClassName: {{ eq . "-" | ternary "" . | quote }}
      {{- end }}
      resources:
        requests:
          storage: {{ .values.persistence.size | quote }}
persistentVolumeClaimRetentionPolicy:
  {{- include "toystore.yaml" .values.persistence.retentionPolicy | nindent 2 }}
{{- end -}}

{{/*
A quantity of bytes as a number, for comparison: the API server may return the same amount in
another notation (1024Mi: 1Gi).
*/}}
{{- define "toystore.bytes" -}}
{{- $k := 1000.0 -}}
{{- $ki := 1024.0 -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" $k "M" (mulf $k $k) "G" (mulf $k $k $k) "T" (mulf $k $k $k $k) "P" (mulf $k $k $k $k $k) -}}
{{- $units = merge $units (dict "Ki" $ki "Mi" (mulf $ki $ki) "Gi" (mulf $ki $ki $ki) "Ti" (mulf $ki $ki $ki $ki) "Pi" (mulf $ki $ki $ki $ki $ki)) -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" . -}}
{{- $unit := trimPrefix $number . -}}
{{- mulf (float64 $number) (get $units $unit | default 1.0) -}}
{{- end -}}
