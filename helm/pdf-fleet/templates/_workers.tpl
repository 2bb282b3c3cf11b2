{{/* The values of each worker: defaults, its own, and computed ones. */}}

{{/*
The enabled workers, as YAML by name: podDefaults, workerDefaults and the worker's own values; each overrides the ones
before it, also with 0 and false. Added: queue, and backlogPerReplica if it is not set.
*/}}
{{- define "fleet.workers" -}}
{{- $root := . -}}
{{- $workers := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- $worker := mustMergeOverwrite (deepCopy $root.Values.podDefaults) (deepCopy $root.Values.workerDefaults) (deepCopy ($own | default dict)) -}}
{{- if $worker.enabled -}}
{{- $_ := set $worker "queue" ($worker.queue | default $name) -}}
{{- if and (kindIs "invalid" $worker.backlogPerReplica) $worker.secondsPerDocument -}}
{{- $_ := set $worker "backlogPerReplica" (include "fleet.backlogPerReplica" $worker | int) -}}
{{- end -}}
{{- $_ := set $workers $name $worker -}}
{{- end -}}
{{- end -}}
{{- toYaml $workers -}}
{{- end -}}

{{/*
Documents per replica: as many as one replica does in targetDrainSeconds, rounded down, from 1 to 1,000. The same
arithmetic as backlog_per_replica() in app/policy/policy.py.
*/}}
{{- define "fleet.backlogPerReplica" -}}
{{- $documents := divf .targetDrainSeconds .secondsPerDocument -}}
{{- /* 0.3 s at 0.1 s each may be 2.9999999999999996, and is 3 documents. */ -}}
{{- $whole := floor (addf $documents 0.000000001) -}}
{{- printf "%.0f" (maxf 1 (minf 1000 $whole)) -}}
{{- end -}}

{{/* The in-flight hash of a queue: dict "root" $ "queue" "pdf". The same as inflight_key() in app/queues.py. */}}
{{- define "fleet.inflightKey" -}}
{{- printf "%sinflight:%s" (.root.Values.settings.FLEET_KEY_PREFIX | default "fleet:") .queue -}}
{{- end -}}
