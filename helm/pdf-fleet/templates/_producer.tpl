{{/*
The pod of a flood. The Job's uid names the batch, so that a second pod of the same Job adds only missing documents, and
each new Job floods again.
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

{{/* The spec of a flood's Job, around its pod. */}}
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
