{{/* Redis' configuration. */}}
{{- define "fleet.redis.conf" -}}
bind * -::*
port 6379
# Users and network policies guard the server; protected mode would only refuse other pods.
protected-mode no
aclfile /etc/redis/users.acl
dir /data
# Redis keeps only the append-only file: snapshots would write everything a second time.
appendonly yes
appendfsync {{ .Values.redis.appendFsync }}
save ""
# Redis must not evict messages to free memory: it refuses a producer's writes instead.
maxmemory {{ include "fleet.bytes" .Values.redis.maxMemory }}
maxmemory-policy noeviction
{{- end -}}
