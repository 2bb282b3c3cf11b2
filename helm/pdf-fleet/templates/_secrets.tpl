{{/*
The data of the chart's own Secrets. Each is computed once a rendering and kept under .Values, because the Secret, the
checksum on the pods and the ACL must agree on a random password. Values that are already in the cluster stay, so that
an upgrade changes nothing.
*/}}

{{/* A value of a Secret in the cluster, or a new random one: dict "root" $ "secret" NAME "key" KEY "length" 32. */}}
{{- define "fleet.kept" -}}
{{- $live := lookup "v1" "Secret" .root.Release.Namespace .secret | default dict -}}
{{- $data := $live.data | default dict -}}
{{- if hasKey $data .key -}}
{{- get $data .key | b64dec -}}
{{- else -}}
{{- randAlphaNum .length -}}
{{- end -}}
{{- end -}}

{{- define "fleet.redis.secretName" -}}
{{- .Values.redis.existingSecret | default (printf "%s-redis" (include "fleet.fullname" .)) -}}
{{- end -}}

{{/* The data of the chart's Redis Secret, as YAML. */}}
{{- define "fleet.redis.secretData" -}}
{{- if not (hasKey .Values "computedRedis") -}}
{{- $name := include "fleet.redis.secretName" . -}}
{{- $password := include "fleet.kept" (dict "root" . "secret" $name "key" "password" "length" 32) -}}
{{- $keda := include "fleet.kept" (dict "root" . "secret" $name "key" "keda-password" "length" 32) -}}
{{- $acl := include "fleet.redis.acl" (dict "root" . "password" $password "keda" $keda) -}}
{{- $url := printf "redis://fleet:%s@%s-redis:6379/0" $password (include "fleet.fullname" .) -}}
{{- $data := dict "username" "fleet" "password" $password "url" $url "keda-username" "keda" "keda-password" $keda "users.acl" $acl -}}
{{- $_ := set .Values "computedRedis" (toYaml $data) -}}
{{- end -}}
{{- /* toYaml removes the last line end, which users.acl needs. */ -}}
{{- printf "%s\n" .Values.computedRedis -}}
{{- end -}}

{{/*
Redis' users. `fleet` may run every command except those that stop or empty the server; `keda` measures the
lengths of the keys in its triggers and may change nothing (-@dangerous removes CLIENT KILL and PAUSE again); `probe` checks that the server answers.
Nobody can log in as `default`, which has no password and is off; but Redis 7.0 reads its own append-only file in that
user's name, and would skip every transaction that this user may not run.
*/}}
{{- define "fleet.redis.acl" -}}
{{- $keys := list -}}
{{- range $worker := include "fleet.workers" .root | fromYaml -}}
{{- range $key := $worker.measured -}}
{{- $keys = append $keys (printf "~%s" $key) -}}
{{- end -}}
{{- end -}}
user default off resetchannels ~* &* +@all
user fleet on #{{ sha256sum .password }} ~* &* +@all -@dangerous +info
user keda on #{{ sha256sum .keda }} resetchannels{{ range $keys }} {{ . }}{{ end }} -@all +ping +hello +auth +client +eval +evalsha +type +llen +hlen +zcard +scard -@dangerous
user probe on nopass resetchannels -@all +ping
{{ end -}}

{{/* The secretKeyRef of the fleet's Redis URL. */}}
{{- define "fleet.redis.urlRef" -}}
{{- if .Values.redis.enabled -}}
name: {{ include "fleet.redis.secretName" . }}
key: url
{{- else -}}
name: {{ .Values.redis.external.existingSecret }}
key: {{ .Values.redis.external.urlKey }}
{{- end -}}
{{- end -}}

{{- define "fleet.store.secretName" -}}
{{- .Values.store.existingSecret | default (printf "%s-store" (include "fleet.fullname" .)) -}}
{{- end -}}

{{/* The data of the chart's store Secret, as YAML. */}}
{{- define "fleet.store.secretData" -}}
{{- if not (hasKey .Values "computedStore") -}}
{{- $name := include "fleet.store.secretName" . -}}
{{- $access := include "fleet.kept" (dict "root" . "secret" $name "key" "access-key" "length" 20) -}}
{{- $secret := include "fleet.kept" (dict "root" . "secret" $name "key" "secret-key" "length" 40) -}}
{{- $_ := set .Values "computedStore" (toYaml (dict "access-key" $access "secret-key" $secret)) -}}
{{- end -}}
{{- .Values.computedStore -}}
{{- end -}}

{{/* The environment variables of the store's credentials; none if the ServiceAccount supplies them. */}}
{{- define "fleet.store.credentials" -}}
{{- $external := .Values.store.external -}}
{{- if .Values.store.enabled -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ include "fleet.store.secretName" . }}, key: access-key}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ include "fleet.store.secretName" . }}, key: secret-key}}
{{- else if $external.existingSecret -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ $external.existingSecret }}, key: {{ $external.accessKeyKey }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ $external.existingSecret }}, key: {{ $external.secretKeyKey }}}}
{{- end }}
{{- end -}}
