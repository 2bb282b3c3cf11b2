{{/* The values of each worker: defaults, its own, and computed ones. */}}

{{/*
The enabled workers, as YAML by name: podDefaults, workerDefaults and the worker's own values; each overrides the ones
before it, also with 0 and false. Added: queue, the time limits that it does not set, backlogPerReplica if it is not set,
and measured: what KEDA measures, the keys by the names that the formula has for them.
*/}}
{{- define "fleet.workers" -}}
{{- $root := . -}}
{{- $workers := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- $worker := mustMergeOverwrite (deepCopy $root.Values.podDefaults) (deepCopy $root.Values.workerDefaults) (deepCopy ($own | default dict)) -}}
{{- if $worker.enabled -}}
{{- $_ := set $worker "queue" ($worker.queue | default $name) -}}
{{- $_ := set $worker "timeLimits" (mustMergeOverwrite (deepCopy $root.Values.timeLimits) ($worker.timeLimits | default dict)) -}}
{{- $measured := dict "running" (include "fleet.key" (dict "root" $root "name" "running" "queue" $worker.queue)) -}}
{{- if $worker.documents -}}
{{- $_ := set $measured "open" (include "fleet.key" (dict "root" $root "name" "open" "queue" $worker.queue)) -}}
{{- else -}}
{{- $_ := set $measured "waiting" $worker.queue -}}
{{- end -}}
{{- $_ := set $worker "measured" $measured -}}
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

{{/*
The HPA's behavior of a worker: dict "behavior" BEHAVIOR "tolerance" BOOL. A tolerance is written as text, as Kubernetes
itself writes a quantity; it is left out if it is null, or if "tolerance" is false.
*/}}
{{- define "fleet.behavior" -}}
{{- $behavior := deepCopy .behavior -}}
{{- range $rules := $behavior -}}
{{- if hasKey $rules "tolerance" -}}
{{- if or (not $.tolerance) (kindIs "invalid" $rules.tolerance) -}}
{{- $_ := unset $rules "tolerance" -}}
{{- else -}}
{{- $_ := set $rules "tolerance" (include "fleet.number" $rules.tolerance) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $behavior -}}
{{- end -}}

{{/* A key of the ledger: dict "root" $ "name" "open" "queue" "pdf". The same as the methods of app/ledger/keys.py. */}}
{{- define "fleet.key" -}}
{{- printf "%s%s:%s" (.root.Values.settings.FLEET_KEY_PREFIX | default "fleet:") .name .queue -}}
{{- end -}}
