{{/*
The pod of a flood. Its batch is its Job's uid, so that a second pod of the same Job adds nothing, and each new Job
floods again.
*/}}
{{- define "fleet.producer.pod" -}}
{{- $producer := .Values.producer -}}
{{- $command := list "fleet" "flood" "--documents" (include "fleet.number" $producer.documents) "--seed" (include "fleet.number" $producer.seed) "--batch" "$(BATCH)" "--server-timeout" (include "fleet.number" $producer.serverTimeoutSeconds) -}}
{{- if $producer.wait -}}
{{- $command = append $command "--wait" -}}
{{- end -}}
{{- include "fleet.pod" (dict
      "root" .
      "component" "producer"
      "pod" (mustMergeOverwrite (deepCopy .Values.podDefaults) (deepCopy $producer))
      "command" $command
      "env" "- name: BATCH\n  valueFrom: {fieldRef: {fieldPath: \"metadata.labels['batch.kubernetes.io/controller-uid']\"}}"
      "grace" 30
      "restart" "Never"
      "store" true
    ) -}}
{{- end -}}

{{/* What is around the pod, in a Job. */}}
{{- define "fleet.producer.job" -}}
{{- $producer := .Values.producer -}}
backoffLimit: {{ int $producer.backoffLimit }}
{{- if not (kindIs "invalid" $producer.activeDeadlineSeconds) }}
activeDeadlineSeconds: {{ int $producer.activeDeadlineSeconds }}
{{- end }}
{{- if not (kindIs "invalid" $producer.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ int $producer.ttlSecondsAfterFinished }}
{{- end }}
{{- end -}}
