-- Send a quarantined document again, with no attempt counted and a new message, in one atomic step.
-- KEYS: document, batch, settled list, quarantine, open set of its queue, the queue
-- ARGV: id, now, message
local doc, batch = KEYS[1], KEYS[2]
if redis.call('HGET', doc, 'state') ~= 'quarantined' then return 0 end
-- A dropped document keeps its state, and expires.
if redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then return 0 end
local code = redis.call('HGET', doc, 'error')
redis.call('HDEL', doc, 'error', 'message', 'finished', 'settled_by', 'attempts_before')
redis.call('HSET', doc, 'state', 'queued', 'attempts', 0)
redis.call('LREM', KEYS[3], 1, ARGV[1])
redis.call('HINCRBY', batch, 'quarantined', -1)
if code and code ~= '' then redis.call('HINCRBY', batch, 'error:' .. code, -1) end
redis.call('HDEL', batch, 'finished')
redis.call('ZADD', KEYS[5], ARGV[2], ARGV[1])
redis.call('LPUSH', KEYS[6], ARGV[3])
return 1
