{{- /* What pods read, as text: for the object and for the checksum of those who read it. */}}

{{- define "headrace.content.models" -}}
{{- if .Values.provider.simulated.enabled -}}
default: simulated
models:
  simulated:
    model: openai/simulated
    api_base: http://{{ include "headrace.fullname" . }}-simulator:8090/v1
    api_key_env: HEADRACE_LOCAL_MODEL_KEY
    context_tokens: 32768
    price: {prompt_usd_per_million: 1.6, completion_usd_per_million: 6.4}
    limits: {rpm: {{ .Values.provider.simulated.rpm }}}
    structured: schema
{{- else -}}
{{ .Values.provider.models | default (.Files.Get "files/models.yaml") | trim }}
{{- end }}
{{- end }}

{{- /* The tools.yaml, and the files that it names, beside it. */}}
{{- define "headrace.content.tools" -}}
{{ toYaml (merge (dict "tools.yaml" .Values.executor.tools) .Values.executor.toolFiles) }}
{{- end }}

{{- define "headrace.content.provider" -}}
{{ toYaml .Values.provider.keys }}
{{- end }}

{{- define "headrace.content.simulator" -}}
{{ toYaml (merge (dict "rpm" .Values.provider.simulated.rpm) .Values.provider.simulated.profile) }}
{{- end }}

{{- define "headrace.content.valkey" -}}
bind * -::*
port 6379
protected-mode no
dir /data
save ""
appendonly yes
appendfsync everysec
maxmemory {{ .Values.valkey.maxMemory }}
maxmemory-policy volatile-ttl
{{- end }}

{{- define "headrace.content.postgres" -}}
{{ toYaml .Values.postgres.parameters }}
{{- end }}

{{- /* The entries of the file of API keys that come from values; the generated key's is added in the Secret. */}}
{{- define "headrace.content.keys" -}}
{{ toYaml .Values.edge.apiKeys.entries }}
generate: {{ .Values.edge.apiKeys.generate }}
{{- end }}
