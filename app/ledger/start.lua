-- Count an attempt before the work begins.
-- KEYS: document, presence of the worker, in-flight hash of the queue, its index
-- ARGV: queue, now, worker, most attempts, id, presence in milliseconds, delivery tag, the message as the in-flight hash
--   holds it ('' if it does already)
-- Returns {'unknown'}, {'final'}, {'advanced'}, {'exhausted', attempts} or {'started', field, value, ...}.
local doc = KEYS[1]
local known = redis.call('HMGET', doc, 'state', 'queue', 'attempts', 'started', 'last_error')
local state = known[1]
if not state then return {'unknown'} end
if state == 'succeeded' or state == 'failed' or state == 'quarantined' then return {'final'} end
if known[2] ~= ARGV[1] then return {'advanced'} end
local attempts = tonumber(known[3] or '0')
if attempts >= tonumber(ARGV[4]) then return {'exhausted', tostring(attempts)} end
redis.call('HSET', doc, 'state', 'running', 'attempts', attempts + 1, 'worker', ARGV[3], 'attempt_started', ARGV[2],
  'started', known[4] or ARGV[2])
-- They belong to an earlier attempt; this one may end without leaving any.
if known[5] then redis.call('HDEL', doc, 'last_error', 'last_message') end
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[3], ARGV[7], ARGV[8])
  redis.call('ZADD', KEYS[4], ARGV[2], ARGV[7])
end
-- A worker's first document reports its presence; later reports come from the worker, with all documents in progress.
redis.call('SET', KEYS[2], '["' .. ARGV[5] .. '"]', 'PX', ARGV[6], 'NX')
local fields = redis.call('HGETALL', doc)
table.insert(fields, 1, 'started')
return fields
