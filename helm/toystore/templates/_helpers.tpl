{{/*
Names and fields that several objects share.

A helper that is about one component takes a dictionary: `root` is the chart's context, `component` the word
(frontend, catalog, order …), `values` that component's part of the values.
*/}}

{{- define "toystore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
What every object's name begins with. 40 characters leave room for the longest ending: the names of a StatefulSet's pods and of the
label `controller-revision-hash` end at 63. A release's name may have dots, a service's may not.
*/}}
{{- define "toystore.fullname" -}}
{{- $name := include "toystore.name" . -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- .Values.fullnameOverride | default $full | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of a component's objects. */}}
{{- define "toystore.componentName" -}}
{{ include "toystore.fullname" .root }}-{{ .component }}
{{- end -}}

{{/* By these a component's pods are found. They never change: selectors and volume claims cannot. */}}
{{- define "toystore.selectorLabels" -}}
app.kubernetes.io/name: {{ include "toystore.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Which pods have metrics, on their internal ports. */}}
{{- define "toystore.metricsLabel" -}}
toystore/metrics: internal
{{- end -}}

{{/* For a Prometheus without an operator: `metricsPort`. */}}
{{- define "toystore.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ .metricsPort | quote }}
{{- end -}}

{{/* The labels of an object. The chart's version is not on pods: a new chart alone is no reason to restart them. */}}
{{- define "toystore.labels" -}}
{{ include "toystore.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: toystore
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* `metadata` of a component's object: `suffix` (such as "-peers"), more `labels`, and `annotations` may be given. */}}
{{- define "toystore.metadata" -}}
name: {{ include "toystore.componentName" . }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "toystore.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* `metadata` of a pod template of the store. */}}
{{- define "toystore.podMetadata" -}}
labels:
  {{- include "toystore.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/part-of: toystore
  {{ include "toystore.metricsLabel" . }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .root.Values.internalToken }}
  {{- if and .enabled .value (not .existingSecret) }}
  # A new token is used only by a new process, so it has to restart them.
  checksum/internal-token: {{ .value | sha256sum }}
  {{- end }}
  {{- end }}
  {{- if .root.Values.metrics.scrapeAnnotations }}
  {{- include "toystore.scrapeAnnotations" . | nindent 2 }}
  {{- end }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/*
The image: by digest where there is one, for only that names the same bytes for ever. A tag of digits alone is a number, unless somebody put quotes
around it.
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
What all pods have in common. `token: true` mounts the service account's token, for those that watch EndpointSlices; `account` is whose
account it is, if not the component's own.
*/}}
{{- define "toystore.podSpec" -}}
serviceAccountName: {{ include "toystore.fullname" .root }}-{{ .account | default .component }}
automountServiceAccountToken: {{ .token | default false }}
# Kubernetes would set variables like ORDER_PORT=tcp://… for services of that name, and the store reads such variables.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Replicas apart from each other, by the component's `topologySpread`. Nodes whose taints keep the pods away (the control plane) do not count, else
they would be the empty place that no pod can fill. Of a group's replicas (`minDomains`), no two may share a node where that is forbidden, even while fewer
nodes are there than replicas: without a least number of nodes, those that are left would be filled evenly.
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
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* What all containers have in common; the image's entry point is the store's one program. */}}
{{- define "toystore.container" -}}
name: {{ .component }}
image: {{ include "toystore.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end -}}

{{- define "toystore.logEnv" -}}
- name: LOG_FORMAT
  value: {{ .root.Values.log.format }}
- name: LOG_LEVEL
  value: {{ .root.Values.log.level | quote }}
{{- end -}}

{{/* The environment of every process of the store. */}}
{{- define "toystore.env" -}}
{{ include "toystore.logEnv" . }}
# Every address, of whichever family the cluster gives to pods.
- name: BIND_HOST
  value: "::"
- name: DISCOVERY
  value: kubernetes
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: CATALOG_SERVICE
  value: {{ include "toystore.fullname" .root }}-catalog-peers
{{- if ne .component "catalog" }}
- name: ORDER_SERVICE
  value: {{ include "toystore.fullname" .root }}-order-peers
{{- end }}
{{- with include "toystore.tokenEnv" . }}
{{ . }}
{{- end }}
{{- end -}}

{{/* A replica's seat comes out of its pod's name, within the process: pod `…-0` has seat 1. */}}
{{- define "toystore.seatEnv" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end -}}

{{- define "toystore.tokenEnv" -}}
{{- if .root.Values.internalToken.enabled -}}
- name: INTERNAL_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "toystore.tokenSecret" .root }}
      key: {{ .root.Values.internalToken.key }}
{{- end -}}
{{- end -}}

{{- define "toystore.tokenSecret" -}}
{{- .Values.internalToken.existingSecret | default (printf "%s-internal" (include "toystore.fullname" .)) -}}
{{- end -}}

{{/*
Probes on the internal port.
Startup: a replica reads its whole ledger first, so it gets ten minutes. Readiness: its own, never that of its peers, else one dead
replica would take all of them out of service. Liveness: the process answers at all; what is really broken ends the process itself.
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
A pod that does one thing from outside of the store (a test, a load test, scaling in), and has a directory /data for its files: `args`, `env`,
`values` (resources and where it may run). It may have metrics (`metricsPort`), and read files in /etc/toystore (`files`, a ConfigMap).
*/}}
{{- define "toystore.clientPod" -}}
metadata:
  labels:
    {{- include "toystore.selectorLabels" . | nindent 4 }}
    {{- if .metricsPort }}
    {{ include "toystore.metricsLabel" . }}
    {{- end }}
  {{- if and .metricsPort .root.Values.metrics.scrapeAnnotations }}
  annotations:
    {{- include "toystore.scrapeAnnotations" . | nindent 4 }}
  {{- end }}
spec:
  {{- include "toystore.podSpec" (merge (dict "account" "client") .) | nindent 2 }}
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  containers:
    - {{ include "toystore.container" . | nindent 6 | trim }}
      args:
        {{- toYaml .args | nindent 8 }}
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
      configMap:
        name: {{ . }}
    {{- end }}
{{- end -}}

{{/* The volume of a StatefulSet's pods. Its labels cannot change later, so there are no versions in them. */}}
{{- define "toystore.volumeClaim" -}}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels:
        {{- include "toystore.selectorLabels" . | nindent 8 }}
    spec:
      accessModes: [{{ .values.persistence.accessMode }}]
      {{- with .values.persistence.storageClass }}
      storageClassName: {{ eq . "-" | ternary "" . | quote }}
      {{- end }}
      resources:
        requests:
          storage: {{ .values.persistence.size }}
persistentVolumeClaimRetentionPolicy:
  {{- toYaml .values.persistence.retentionPolicy | nindent 2 }}
{{- end -}}
