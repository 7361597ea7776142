{{- define "headrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* The prefix of all names: the release's, with the chart's where that does not say it. 40 characters leave room for a part's. */}}
{{- define "headrace.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "headrace.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "headrace.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* What selects a part's pods. (dict "root" $ "name" "edge") */}}
{{- define "headrace.selector" -}}
app.kubernetes.io/name: {{ include "headrace.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- /* The labels of a part's pods: nothing that changes with the chart's version, or each upgrade would restart every pod. */}}
{{- define "headrace.podLabels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/part-of: headrace
{{- end }}

{{- /* The labels of everything of a part. (dict "root" $ "name" "edge") */}}
{{- define "headrace.labels" -}}
{{ include "headrace.selector" . }}
app.kubernetes.io/part-of: headrace
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* name and labels of a part's object. (dict "root" $ "name" "edge" "suffix" "-keys") */}}
{{- define "headrace.metadata" -}}
name: {{ include "headrace.fullname" .root }}-{{ .name }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "headrace.labels" . | nindent 2 }}
{{- end }}

{{- /* A part's image. (dict "root" $ "name" "edge") */}}
{{- define "headrace.image" -}}
{{- $own := get (index .root.Values .name | default dict) "image" -}}
{{- $own | default (printf "%s/%s:%s" .root.Values.image.registry .name .root.Values.image.tag) -}}
{{- end }}

{{- define "headrace.postgres.secret" -}}
{{- .Values.postgres.existingSecret | default (printf "%s-postgres" (include "headrace.fullname" .)) }}
{{- end }}

{{- define "headrace.valkey.secret" -}}
{{- .Values.valkey.existingSecret | default (printf "%s-valkey" (include "headrace.fullname" .)) }}
{{- end }}

{{- define "headrace.edge.keysSecret" -}}
{{- .Values.edge.apiKeys.existingSecret | default (printf "%s-edge-keys" (include "headrace.fullname" .)) }}
{{- end }}

{{- define "headrace.provider.secret" -}}
{{- .Values.provider.existingSecret | default (printf "%s-provider" (include "headrace.fullname" .)) }}
{{- end }}
