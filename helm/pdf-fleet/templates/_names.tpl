{{/* Names, labels and images. */}}

{{/* The first part of every name. 30 characters leave room for `-worker-<name>`; a longer name is cut and gets a hash. */}}
{{- define "fleet.fullname" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if gt (len $name) 30 -}}
{{- printf "%s-%s" ($name | trunc 24 | trimSuffix "-") ($name | sha256sum | trunc 5) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/* The labels of a selector: dict "root" $ "component" "worker". */}}
{{- define "fleet.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of an object: dict "root" $ "component" "worker", and "version" if it is not the fleet's. */}}
{{- define "fleet.labels" -}}
{{ include "fleet.selectorLabels" . }}
app.kubernetes.io/version: {{ .version | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The fleet's image. */}}
{{- define "fleet.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* The ServiceAccount of the fleet's own pods. */}}
{{- define "fleet.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "fleet.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* A number in plain digits: Helm reads 104857600 as 1.048576e+08. */}}
{{- define "fleet.number" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* A Kubernetes quantity of memory (512Mi, 1G, 1073741824) in bytes. */}}
{{- define "fleet.bytes" -}}
{{- $text := include "fleet.number" . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "" 1 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if not (hasKey $units $unit) -}}
{{- fail (printf "%s is no amount of memory: write it as 512Mi or 1Gi." $text) -}}
{{- end -}}
{{- printf "%.0f" (mulf (float64 (trimSuffix $unit $text)) (get $units $unit)) -}}
{{- end -}}
