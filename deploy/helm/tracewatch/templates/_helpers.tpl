{{- define "tracewatch.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
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
{{- $registry := coalesce .Values.global.imageRegistry .Values.image.registry -}}
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

{{- define "tracewatch.check" -}}
{{- $sqlite := hasPrefix "sqlite" (include "tracewatch.ledger" .) -}}
{{- if and $sqlite (gt (int .Values.replicas) 1) }}{{ fail "replicas: more than one replica needs a ledger on PostgreSQL (config.ledger.url)" }}{{ end -}}
{{- if and $sqlite .Values.keda.enabled }}{{ fail "keda.enabled: scaling needs a ledger on PostgreSQL (config.ledger.url)" }}{{ end -}}
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
serviceAccountName: {{ include "tracewatch.name" . }}
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
