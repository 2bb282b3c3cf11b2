{{/* The server: Valkey, or Redis from 7.0 on. */}}

{{/* A shell command that runs one of the server's programs, whichever of its two names the image has: "server" or "cli". */}}
{{- define "fleet.redis.program" -}}
exec "$(command -v valkey-{{ . }} || command -v redis-{{ . }})"
{{- end -}}

{{/* Its configuration. */}}
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
# A worker has about five connections; the default of 10,000 would be too few for 2,000 workers.
maxclients {{ int .Values.redis.maxClients }}
# A settled document's entry is a small hash, and a batch's list of them is read from its ends: both stay compact.
hash-max-listpack-value 128
list-compress-depth 1
{{- end -}}
