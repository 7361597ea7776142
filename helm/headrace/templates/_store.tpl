{{- /* The claim of a store's StatefulSet, as an item of volumes or of volumeClaimTemplates; nothing where the other one has it. */}}
{{- define "headrace.store.volume" -}}
{{- with (index .root.Values .name).persistence }}
{{- if not .enabled }}
- name: data
  emptyDir: {}
{{- else if .existingClaim }}
- name: data
  persistentVolumeClaim: {claimName: {{ .existingClaim }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "headrace.store.claim" -}}
{{- with (index .root.Values .name).persistence }}
{{- if and .enabled (not .existingClaim) }}
# The volume stays when the release is uninstalled.
persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
      labels:
        {{- include "headrace.selector" $ | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . | quote }}
      {{- end }}
      resources:
        requests: {storage: {{ .size }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* A store's Secret: the password of the first install stays. (dict "root" $ "name" "postgres" "url" "scheme://user:%s@…") */}}
{{- define "headrace.store.secret" -}}
{{- $name := printf "%s-%s" (include "headrace.fullname" .root) .name -}}
{{- $there := (lookup "v1" "Secret" .root.Release.Namespace $name).data | default dict -}}
{{- $password := get $there "password" | b64dec | default (randAlphaNum 32) -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "headrace.metadata" . | nindent 2 }}
stringData:
  password: {{ $password }}
  url: {{ printf .url $password }}
{{- end }}
