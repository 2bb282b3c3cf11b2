-- Move a running document to its next queue, with its message, in one atomic step.
-- KEYS: document, open set of the old queue, open set of the new queue, the new queue, counts, in-flight hash of the old
--   queue, its index
-- ARGV: id, old queue, new queue, now, message, delivery tag ('' for none), then the fields and values to write
local doc = KEYS[1]
local known = redis.call('HMGET', doc, 'state', 'queue', 'attempts', 'attempts_before')
if known[1] ~= 'running' and known[1] ~= 'queued' then return 0 end
if known[2] ~= ARGV[2] then return 0 end
local before = math.max(tonumber(known[3] or '0'), tonumber(known[4] or '0'))
redis.call('HSET', doc, 'state', 'queued', 'queue', ARGV[3], 'attempts', 0, 'attempts_before', before, 'advanced', ARGV[4],
  unpack(ARGV, 7))
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('HINCRBY', KEYS[5], ARGV[2], 1)
redis.call('LPUSH', KEYS[4], ARGV[5])
if ARGV[6] ~= '' then
  redis.call('HDEL', KEYS[6], ARGV[6])
  redis.call('ZREM', KEYS[7], ARGV[6])
end
return 1
