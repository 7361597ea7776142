{{- /* What every pod has. (dict "root" $ "name" "edge" "grace" 30) */}}
{{- define "headrace.podDefaults" -}}
{{- $values := index .root.Values .name | default dict -}}
automountServiceAccountToken: {{ eq .name "operator" }}
# A Service's variables would look like settings: HEADRACE_EDGE_PORT.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .grace }}
securityContext:
  {{- toYaml (mergeOverwrite (deepCopy .root.Values.podSecurityContext) (get $values "podSecurityContext" | default dict)) | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with get $values "nodeSelector" }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with get $values "tolerations" }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if get $values "topologySpread" }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "headrace.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* What every container has, its name included. (dict "root" $ "name" "edge"), with "image" the part whose image it has. */}}
{{- define "headrace.containerDefaults" -}}
name: {{ .name }}
image: {{ include "headrace.image" (dict "root" .root "name" (default .name .image)) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* Settings of every service: PREFIX is its own. (dict "root" $ "name" "edge" "port" 8080) */}}
{{- define "headrace.env" -}}
{{- $values := index .root.Values .name -}}
{{- $prefix := printf "HEADRACE_%s" (upper .name) -}}
- {name: {{ $prefix }}_LISTEN, value: "0.0.0.0:{{ .port }}"}
{{- if .root.Values.metrics.enabled }}
- {name: {{ $prefix }}_METRICS_LISTEN, value: "0.0.0.0:9090"}
{{- end }}
- {name: {{ $prefix }}_LOG_LEVEL, value: {{ .root.Values.logLevel | quote }}}
{{- if ne .name "operator" }}
- {name: {{ $prefix }}_DRAIN_S, value: {{ $values.drainSeconds | quote }}}
{{- with .root.Values.tracing.otlpEndpoint }}
- {name: {{ $prefix }}_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- include "headrace.threads" . }}
{{- end }}

{{- /* A native library's thread beyond the CPU limit only takes time from the others. (dict "root" $ "name" "edge") */}}
{{- define "headrace.threads" -}}
{{- $cores := div (add (include "headrace.millicores" (index .root.Values .name).resources.limits.cpu | int) 999) 1000 -}}
{{- range list "OMP_NUM_THREADS" "OPENBLAS_NUM_THREADS" "MKL_NUM_THREADS" }}
- {name: {{ . }}, value: {{ $cores | quote }}}
{{- end }}
- {name: MALLOC_ARENA_MAX, value: {{ $cores | quote }}}
{{- end }}

{{- /* A list of env with the part's own settings in the place of those of the same name. (dict "root" $ "name" "edge" "list" "…") */}}
{{- define "headrace.withOwnEnv" -}}
{{- $own := (index .root.Values .name).env -}}
{{- range .list | fromYamlArray }}
{{- if not (hasKey $own .name) }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- range $name, $value := $own }}
- {{ dict "name" $name "value" (toString $value) | toJson }}
{{- end }}
{{- end }}

{{- /* What a service needs to call models. (dict "root" $ "name" "router") */}}
{{- define "headrace.llm.env" -}}
- {name: HEADRACE_LLM_MODELS_FILE, value: /etc/headrace/models/models.yaml}
- name: HEADRACE_LLM_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "headrace.valkey.secret" .root }}, key: url}}
# The processes together keep to the quota while Redis is away from the start.
- {name: HEADRACE_LLM_FALLBACK_SHARE, value: {{ include "headrace.fallbackShare" .root | quote }}}
{{- if .root.Values.provider.simulated.enabled }}
- {name: HEADRACE_LOCAL_MODEL_KEY, value: none}
{{- end }}
{{- end }}

{{- define "headrace.fallbackShare" -}}
{{- $processes := add .Values.router.replicas .Values.planner.replicas .Values.rag.replicas (include "headrace.executor.most" .) -}}
{{- divf 1.0 $processes | printf "%.4f" -}}
{{- end }}

{{- /* Keys of the provider as environment variables. */}}
{{- define "headrace.llm.envFrom" -}}
{{- if not .Values.provider.simulated.enabled }}
envFrom:
  - secretRef: {name: {{ include "headrace.provider.secret" . }}}
{{- end }}
{{- end }}

{{- /* Changed annotations restart the pods that read what changed. (dict "root" $ "parts" (list "models" "provider" …)) */}}
{{- define "headrace.checksums" -}}
{{- range .parts }}
checksum/{{ . }}: {{ include (printf "headrace.content.%s" .) $.root | sha256sum }}
{{- end }}
{{- end }}

{{- /* Probes of a gRPC service: alive while its loop answers, ready while its health says SERVING. */}}
{{- define "headrace.grpcProbes" -}}
# A start on a busy node with a fraction of a core takes its time; nothing is killed for that.
startupProbe:
  grpc: {port: 50051}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 90
readinessProbe:
  grpc: {port: 50051}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  grpc: {port: 50051}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{- /* Surge pods count against the budget, so only parts that say so have them. Takes the part's values. */}}
{{- define "headrace.rollout" -}}
{{- if .maxSurge -}}
rollingUpdate: {maxSurge: {{ .maxSurge }}, maxUnavailable: 0}
{{- else -}}
rollingUpdate: {maxSurge: 0, maxUnavailable: 1}
{{- end }}
{{- end }}
