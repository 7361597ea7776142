{{- /* A gRPC service's Deployment. (dict "root" $ "name" "router" "grace" 30 "replicas" 1 "checksums" (list …) "env" "…"), with
"configMaps" the names of further ones that it reads in /etc/headrace/NAME. */}}
{{- define "headrace.grpcDeployment" -}}
{{- $values := index .root.Values .name -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "headrace.metadata" . | nindent 2 }}
spec:
  {{- with .replicas }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 600
  strategy:
    type: RollingUpdate
    {{- include "headrace.rollout" $values | nindent 4 }}
  selector:
    matchLabels:
      {{- include "headrace.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "headrace.podLabels" . | nindent 8 }}
      annotations:
        {{- include "headrace.checksums" (dict "root" .root "parts" .checksums) | trim | nindent 8 }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "headrace.podDefaults" . | nindent 6 }}
      containers:
        - {{ include "headrace.containerDefaults" . | nindent 10 | trim }}
          ports:
            - {name: grpc, containerPort: 50051}
            {{- if .root.Values.metrics.enabled }}
            - {name: metrics, containerPort: 9090}
            {{- end }}
          env:
            {{- $env := list (include "headrace.env" (merge (dict "port" 50051) .)) (include "headrace.llm.env" .) (.env | default "") | join "\n" }}
            {{- include "headrace.withOwnEnv" (dict "root" .root "name" .name "list" $env) | trim | nindent 12 }}
          {{- with include "headrace.llm.envFrom" .root }}
          {{- . | trim | nindent 10 }}
          {{- end }}
          {{- include "headrace.grpcProbes" . | nindent 10 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            {{- range concat (list "models") (.configMaps | default list) }}
            - {name: {{ . }}, mountPath: /etc/headrace/{{ . }}, readOnly: true}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
      volumes:
        {{- range concat (list "models") (.configMaps | default list) }}
        - name: {{ . }}
          configMap: {name: {{ include "headrace.fullname" $.root }}-{{ . }}}
        {{- end }}
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{- /* Headless, so that clients see every pod and balance over them. (dict "root" $ "name" "router") */}}
{{- define "headrace.grpcService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "headrace.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector:
    {{- include "headrace.selector" . | nindent 4 }}
  ports:
    - {name: grpc, port: 50051, targetPort: grpc, appProtocol: kubernetes.io/h2c}
{{- end }}

{{- /* One pod at a time may be evicted; with one replica that still lets a node be drained. (dict "root" $ "name" "router") */}}
{{- define "headrace.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "headrace.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "headrace.selector" . | nindent 6 }}
{{- end }}

{{- /* The gRPC name of a service. (dict "root" $ "name" "router") */}}
{{- define "headrace.target" -}}
dns:///{{ include "headrace.fullname" .root }}-{{ .name }}:50051
{{- end }}
