{{/* The environment of the fleet's own pods: the data of the ConfigMap. */}}
{{- define "fleet.settings" -}}
{{- $store := .Values.store -}}
FLEET_STORE_URL: {{ printf "s3://%s/%s" $store.bucket $store.prefix | trimSuffix "/" | quote }}
AWS_REGION: {{ $store.region | quote }}
{{- if $store.enabled }}
AWS_ENDPOINT_URL: {{ printf "http://%s-store:7070" (include "fleet.fullname" .) | quote }}
{{- else if $store.external.endpoint }}
AWS_ENDPOINT_URL: {{ $store.external.endpoint | quote }}
{{- end }}
{{- $seconds := list }}
{{- range $name, $worker := include "fleet.workers" . | fromYaml }}
{{- if $worker.secondsPerDocument }}
{{- $seconds = append $seconds (printf "%s=%s" $worker.queue (include "fleet.number" $worker.secondsPerDocument)) }}
{{- end }}
{{- end }}
FLEET_SECONDS_PER_DOCUMENT: {{ join "," $seconds | quote }}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "fleet.number" $value | quote }}
{{- end }}
{{- /* The root file system is read-only: libraries that want a folder get /tmp. */}}
HOME: /tmp
TMPDIR: /tmp
XDG_CACHE_HOME: /tmp/cache
{{- end -}}
