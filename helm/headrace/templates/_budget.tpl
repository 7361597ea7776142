{{- /* Milli-cores of a Kubernetes quantity: "1.5", 2, "250m". */}}
{{- define "headrace.millicores" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text -}}
{{- trimSuffix "m" $text | float64 | ceil | int -}}
{{- else -}}
{{- mulf (float64 $text) 1000 | ceil | int -}}
{{- end -}}
{{- end }}

{{- /* Mebibytes of a Kubernetes quantity in Mi or Gi; the values' schema refuses other units. */}}
{{- define "headrace.mebibytes" -}}
{{- $text := toString . -}}
{{- if hasSuffix "Gi" $text -}}
{{- mulf (trimSuffix "Gi" $text | float64) 1024 | ceil | int -}}
{{- else -}}
{{- trimSuffix "Mi" $text | float64 | ceil | int -}}
{{- end -}}
{{- end }}

{{- /* The most executors that there can be. */}}
{{- define "headrace.executor.most" -}}
{{- ternary .Values.executor.scaling.maxReplicas .Values.executor.replicas .Values.operator.enabled -}}
{{- end }}

{{- define "headrace.edge.most" -}}
{{- ternary .Values.edge.autoscaling.maxReplicas .Values.edge.replicas .Values.edge.autoscaling.enabled -}}
{{- end }}

{{- /* All pods that there can be at once, as JSON: [{name, pods, resources}]. */}}
{{- define "headrace.budget.parts" -}}
{{- $v := .Values -}}
{{- $parts := list
  (dict "name" "edge" "pods" (add (include "headrace.edge.most" .) $v.edge.maxSurge) "resources" $v.edge.resources)
  (dict "name" "router" "pods" (add $v.router.replicas $v.router.maxSurge) "resources" $v.router.resources)
  (dict "name" "planner" "pods" (add $v.planner.replicas $v.planner.maxSurge) "resources" $v.planner.resources)
  (dict "name" "executor" "pods" (include "headrace.executor.most" . | int) "resources" $v.executor.resources)
  (dict "name" "rag" "pods" (add $v.rag.replicas $v.rag.maxSurge) "resources" $v.rag.resources)
-}}
{{- if $v.operator.enabled }}{{ $parts = append $parts (dict "name" "operator" "pods" 1 "resources" $v.operator.resources) }}{{ end -}}
{{- if $v.postgres.enabled }}{{ $parts = append $parts (dict "name" "postgres" "pods" 1 "resources" $v.postgres.resources) }}{{ end -}}
{{- if $v.valkey.enabled }}{{ $parts = append $parts (dict "name" "valkey" "pods" 1 "resources" $v.valkey.resources) }}{{ end -}}
{{- if $v.provider.simulated.enabled }}
{{- $parts = append $parts (dict "name" "simulator" "pods" 1 "resources" $v.provider.simulated.resources) }}
{{- end -}}
{{- $parts = append $parts (dict "name" "test" "pods" 1 "resources" $v.test.resources) -}}
{{- toJson $parts -}}
{{- end }}

{{- /* Fails, in one sentence, when the pods together need more than the budget. */}}
{{- define "headrace.budget.check" -}}
{{- $parts := include "headrace.budget.parts" . | fromJsonArray -}}
{{- $root := . -}}
{{- range $kind := list "limits" "requests" -}}
{{- $budget := index $root.Values.budget $kind -}}
{{- $cpu := 0 -}}
{{- $memory := 0 -}}
{{- range $parts -}}
{{- $amounts := index .resources $kind -}}
{{- $cpu = add $cpu (mul (int .pods) (include "headrace.millicores" $amounts.cpu | int)) -}}
{{- $memory = add $memory (mul (int .pods) (include "headrace.mebibytes" $amounts.memory | int)) -}}
{{- end -}}
{{- if gt $cpu (include "headrace.millicores" $budget.cpu | int64) -}}
{{- include "headrace.budget.fail" (dict "root" $root "kind" $kind "what" "cpu" "sum" (printf "%dm" $cpu) "parts" $parts) -}}
{{- end -}}
{{- if gt $memory (include "headrace.mebibytes" $budget.memory | int64) -}}
{{- include "headrace.budget.fail" (dict "root" $root "kind" $kind "what" "memory" "sum" (printf "%dMi" $memory) "parts" $parts) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "headrace.budget.fail" -}}
{{- $of := list -}}
{{- range .parts }}{{ $of = append $of (printf "%s %d × %s" .name (int .pods) (index .resources $.kind $.what | toString)) }}{{ end -}}
{{- printf "all pods together, surge pods included, have %s.%s of %s (%s), and budget.%s.%s is %s: lower executor.scaling.maxReplicas or a part's replicas, maxSurge or resources.%s.%s, or raise budget.%s.%s" .kind .what .sum (join ", " $of) .kind .what (index .root.Values.budget .kind .what | toString) .kind .what .kind .what | fail -}}
{{- end }}
