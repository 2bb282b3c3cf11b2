{{/* Redis' configuration. */}}
{{- define "fleet.redis.conf" -}}
bind * -::*
port 6379
# Users and the network's policies guard it; protected mode would only refuse other pods.
protected-mode no
aclfile /etc/redis/users.acl
dir /data
# The append-only file is all that is kept: snapshots beside it would write everything twice.
appendonly yes
appendfsync {{ .Values.redis.appendFsync }}
save ""
# Tickets must not be thrown away to make room: a producer is refused instead.
maxmemory {{ include "fleet.bytes" .Values.redis.maxMemory }}
maxmemory-policy noeviction
{{- end -}}
