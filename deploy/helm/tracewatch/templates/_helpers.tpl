{{- define "tracewatch.name" -}}
{{- /* Short enough for a suffix: Kubernetes takes 63 characters. */ -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "tracewatch.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tracewatch.labels" -}}
{{ include "tracewatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tracewatch.image" -}}
{{- $registry := coalesce (dig "imageRegistry" "" (.Values.global | default dict)) .Values.image.registry -}}
{{- $name := ternary (printf "%s/%s" $registry .Values.image.repository) .Values.image.repository (not (empty $registry)) -}}
{{- if .Values.image.digest }}{{ $name }}@{{ .Values.image.digest }}{{ else }}{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{- /* The port is the chart's: probes, service and policies ask it. */ -}}
{{- define "tracewatch.config" -}}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) (dict "http" (dict "host" "0.0.0.0" "port" 9464))) -}}
{{- end }}

{{- define "tracewatch.ledger" -}}
{{- dig "ledger" "url" "sqlite:///tracewatch.db" .Values.config -}}
{{- end }}

{{- /* Not empty where the ledger is a file, also by the default of a ${NAME:-sqlite...}. */ -}}
{{- define "tracewatch.onFile" -}}
{{- if contains "sqlite" (include "tracewatch.ledger" .) }}yes{{ end -}}
{{- end }}

{{- define "tracewatch.mlflowOnFile" -}}
{{- if contains "sqlite" (dig "mlflow" "tracking_uri" "" .Values.config | default "sqlite:///mlflow.db") }}yes{{ end -}}
{{- end }}

{{- define "tracewatch.scheme" -}}
{{- ternary "HTTPS" "HTTP" (not (empty (dig "http" "tls" "" .Values.config))) -}}
{{- end }}

{{- define "tracewatch.asksForLogin" -}}
{{- if or (dig "http" "users" "" .Values.config) (dig "http" "token" "" .Values.config) }}yes{{ end -}}
{{- end }}

{{- define "tracewatch.drainSeconds" -}}
{{- $deadline := dig "pipeline" "shutdown_deadline" "20s" .Values.config | toString -}}
{{- $seconds := dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- mulf (regexFind "^[0-9.]+" $deadline | float64) (get $seconds (regexFind "[a-z]+$" $deadline) | default 1) | ceil -}}
{{- end }}

{{- define "tracewatch.check" -}}
{{- /* After the drain it leaves the group, gives back the lease and closes the port. */ -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (add 10 (int (include "tracewatch.drainSeconds" .)) | int) }}{{ fail "terminationGracePeriodSeconds: must be longer than config.pipeline.shutdown_deadline, by ten seconds at least" }}{{ end -}}
{{- if and .Values.serviceMonitor.enabled (include "tracewatch.asksForLogin" .) (not (or .Values.serviceMonitor.endpoint.basicAuth .Values.serviceMonitor.endpoint.authorization)) }}{{ fail "serviceMonitor.endpoint: config.http asks for a login, and Prometheus has none: set basicAuth or authorization" }}{{ end -}}
{{- if .Values.keda.enabled -}}
{{- $source := .Values.config.source -}}
{{- if ne ($source.kind | default "kafka") "kafka" }}{{ fail "keda.enabled: config.source is no Kafka topic" }}{{ end -}}
{{- $asked := dict "bootstrap_servers" $source.bootstrap_servers "topic" $source.topic "group_id" ($source.group_id | default .Values.config.app) -}}
{{- range list "bootstrap_servers" "topic" "group_id" -}}
{{- $value := get $asked . | default "" | toString -}}
{{- if or (empty $value) (contains "${" $value) }}{{ fail (printf "keda.enabled: config.source.%s must be written out, as KEDA reads it too" .) }}{{ end -}}
{{- end -}}
{{- if gt (int .Values.keda.minReplicas) (int .Values.keda.maxReplicas) }}{{ fail "keda.minReplicas: must not be greater than keda.maxReplicas" }}{{ end -}}
{{- end -}}
{{- $sqlite := include "tracewatch.onFile" . -}}
{{- if and $sqlite (gt (int .Values.replicas) 1) }}{{ fail "replicas: more than one replica needs a ledger on PostgreSQL (config.ledger.url)" }}{{ end -}}
{{- if and $sqlite .Values.keda.enabled }}{{ fail "keda.enabled: scaling needs a ledger on PostgreSQL (config.ledger.url)" }}{{ end -}}
{{- $several := or .Values.keda.enabled (gt (int .Values.replicas) 1) -}}
{{- if and $several .Values.persistence.enabled }}{{ fail "persistence.enabled: replicas cannot share one volume; with PostgreSQL and an MLflow server they need none" }}{{ end -}}
{{- if and $several (include "tracewatch.mlflowOnFile" .) }}{{ fail "config.mlflow.tracking_uri: more than one replica needs an MLflow server, or each would have traces and a dataset of its own" }}{{ end -}}
{{- if and $sqlite .Values.migration.enabled }}{{ fail "migration.enabled: a job cannot reach a ledger on SQLite (config.ledger.url)" }}{{ end -}}
{{- end }}

{{- define "tracewatch.container" -}}
name: tracewatch
image: {{ include "tracewatch.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .Values.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/tracewatch, readOnly: true}
  - {name: state, mountPath: /var/lib/tracewatch}
  - {name: tmp, mountPath: /tmp}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "tracewatch.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tracewatch.egress" -}}
{{- if .Values.networkPolicy.egress -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{ toYaml .Values.networkPolicy.egress }}
{{- else -}}
- {}
{{- end -}}
{{- end }}
