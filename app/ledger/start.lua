-- Count an attempt before the work begins.
-- KEYS: document, presence of the worker
-- ARGV: queue, now, worker, most attempts, id, presence in milliseconds
-- Returns {'unknown'}, {'final'}, {'elsewhere'}, {'exhausted', attempts} or {'started', field, value, ...}.
local doc = KEYS[1]
local state = redis.call('HGET', doc, 'state')
if not state then return {'unknown'} end
if state == 'succeeded' or state == 'failed' or state == 'quarantined' then return {'final'} end
if redis.call('HGET', doc, 'queue') ~= ARGV[1] then return {'elsewhere'} end
local attempts = tonumber(redis.call('HGET', doc, 'attempts') or '0')
if attempts >= tonumber(ARGV[4]) then return {'exhausted', tostring(attempts)} end
redis.call('HINCRBY', doc, 'attempts', 1)
redis.call('HDEL', doc, 'last_error', 'last_message') -- of an attempt before; this one may end without a word
redis.call('HSETNX', doc, 'started', ARGV[2])
redis.call('HSET', doc, 'state', 'running', 'worker', ARGV[3], 'attempt_started', ARGV[2])
-- A worker's first document says that it lives; afterwards it says so itself, with all that it has in hand.
redis.call('SET', KEYS[2], '["' .. ARGV[5] .. '"]', 'PX', ARGV[6], 'NX')
local fields = redis.call('HGETALL', doc)
table.insert(fields, 1, 'started')
return fields
