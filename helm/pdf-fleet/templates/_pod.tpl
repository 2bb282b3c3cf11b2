{{/* Pods: the fields that all share, and the pod of the fleet's own roles. */}}

{{/*
The fields of every pod spec: dict "root" $ "pod" VALUES "account" NAME "user" UID "grace" SECONDS "spread" LABELS.
No service links: Kubernetes would add FLEET_REDIS_PORT and the like for a Service `fleet-redis`, and a program that
refuses unknown FLEET_ names would not start.
*/}}
{{- define "fleet.pod.common" -}}
{{- $pod := .pod -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int .grace }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $key := list "nodeSelector" "affinity" }}
{{- with get $pod $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- $tolerations := $pod.tolerations }}
{{- if not (kindIs "invalid" $pod.lostNodeSeconds) }}
{{- range $taint := list "not-ready" "unreachable" }}
{{- $toleration := dict "key" (printf "node.kubernetes.io/%s" $taint) "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int $pod.lostNodeSeconds) }}
{{- $tolerations = append $tolerations $toleration }}
{{- end }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not (kindIs "invalid" $pod.topologySpreadConstraints) }}
{{- with $pod.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else if .spread }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- .spread | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* Requests and limits, without those that a role has set to null to remove a default. */}}
{{- define "fleet.resources" -}}
{{- range $kind, $amounts := . }}
{{- $said := dict }}
{{- range $resource, $amount := $amounts }}
{{- if not (kindIs "invalid" $amount) }}
{{- $_ := set $said $resource $amount }}
{{- end }}
{{- end }}
{{ $kind }}:
  {{- toYaml $said | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pod Security `restricted`, and a read-only root file system. */}}
{{- define "fleet.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/*
The pod template of one of the fleet's roles. Of a dict:
  root       $
  component  worker, beat, producer or test; also the container's name
  pod        its values, with podDefaults merged in
  command    list
  labels     further labels of the pod, YAML
  env        further environment variables, YAML
  heartbeat  limits of the probes of its heartbeat file; none: no probes
  grace      seconds between SIGTERM and SIGKILL
  spread     labels of the pods that are spread over nodes together
  restart    restartPolicy
  store      whether the pod gets the store's credentials
*/}}
{{- define "fleet.pod" -}}
{{- $root := .root -}}
{{- $pod := .pod -}}
metadata:
  labels:
    {{- include "fleet.labels" (dict "root" $root "component" .component) | nindent 4 }}
    {{- with .labels }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $pod.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/settings: {{ include "fleet.settings" $root | sha256sum }}
    {{- if and $root.Values.redis.enabled (not $root.Values.redis.existingSecret) }}
    checksum/redis: {{ get (include "fleet.redis.secretData" $root | fromYaml) "url" | sha256sum }}
    {{- end }}
    {{- if and .store $root.Values.store.enabled (not $root.Values.store.existingSecret) }}
    checksum/store: {{ include "fleet.store.secretData" $root | sha256sum }}
    {{- end }}
    {{- /* Nothing in these volumes is missed, so they are no reason for a node autoscaler to keep a node. */}}
    {{- $evictable := "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes" }}
    {{- if not (hasKey $pod.podAnnotations $evictable) }}
    {{ $evictable }}: {{ ternary "tmp,source" "tmp" $pod.sourceVolume }}
    {{- end }}
    {{- with $pod.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "fleet.pod.common" (dict "root" $root "pod" $pod "account" (include "fleet.serviceAccount" $root) "user" 10001 "grace" .grace "spread" .spread) | nindent 2 }}
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- if $pod.sourceVolume }}
  initContainers:
    - name: source
      image: {{ include "fleet.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [cp, -r, --preserve=timestamps, /srv/fleet/app, /source/]
      {{- include "fleet.container.security" . | nindent 6 }}
      resources:
        {{- include "fleet.resources" $pod.resources | trim | nindent 8 }}
      volumeMounts:
        - {name: source, mountPath: /source}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "fleet.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      {{- include "fleet.container.security" . | nindent 6 }}
      envFrom:
        - configMapRef: {name: {{ include "fleet.fullname" $root }}}
      env:
        - name: FLEET_REDIS_URL
          valueFrom:
            secretKeyRef:
              {{- include "fleet.redis.urlRef" $root | nindent 14 }}
        {{- if include "fleet.redis.caVolume" $root }}
        - {name: FLEET_REDIS_CA_FILE, value: /etc/redis-ca/ca.crt}
        {{- end }}
        {{- if .store }}
        {{- with include "fleet.store.credentials" $root }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- if .heartbeat }}
        - {name: FLEET_HEARTBEAT_FILE, value: /tmp/heartbeat}
        {{- end }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $pod.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .heartbeat }}
      {{- $command := printf "find /tmp/heartbeat -newermt '-%d seconds' | grep -q ." (int .maxAgeSeconds) }}
      startupProbe:
        exec: {command: [sh, -c, {{ toJson $command }}]}
        periodSeconds: 2
        timeoutSeconds: 10
        failureThreshold: {{ div (add (int .startupSeconds) 1) 2 | max 1 }}
      livenessProbe:
        exec: {command: [sh, -c, {{ toJson $command }}]}
        periodSeconds: {{ int .periodSeconds }}
        timeoutSeconds: 10
        failureThreshold: 3
        {{- /* A process that hangs does not use its grace. */}}
        terminationGracePeriodSeconds: 30
      {{- end }}
      resources:
        {{- include "fleet.resources" $pod.resources | trim | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $pod.sourceVolume }}
        - {name: source, mountPath: /srv/fleet}
        {{- end }}
        {{- if include "fleet.redis.caVolume" $root }}
        - {name: redis-ca, mountPath: /etc/redis-ca, readOnly: true}
        {{- end }}
        {{- with $pod.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: {{ $pod.tmpSizeLimit }}}}
    {{- if $pod.sourceVolume }}
    - {name: source, emptyDir: {}}
    {{- end }}
    {{- with include "fleet.redis.caVolume" $root }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $pod.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The volume with the CA of an external Redis; empty if there is none. */}}
{{- define "fleet.redis.caVolume" -}}
{{- $tls := .Values.redis.external.tls -}}
{{- if not .Values.redis.enabled -}}
{{- if $tls.caSecret -}}
- {name: redis-ca, secret: {secretName: {{ $tls.caSecret }}, items: [{key: {{ $tls.caKey }}, path: ca.crt}]}}
{{- else if $tls.caConfigMap -}}
- {name: redis-ca, configMap: {name: {{ $tls.caConfigMap }}, items: [{key: {{ $tls.caKey }}, path: ca.crt}]}}
{{- end -}}
{{- end -}}
{{- end -}}
