-- Settle a document: the first settlement counts, later ones are counted as duplicates and change nothing.
-- KEYS: document, batch, settled list, quarantine, open set of its queue, counts, batch documents,
--   in-flight hash, its index
-- ARGV: id, token of who settles, now, retention in seconds, queue, delivery tag ('' for none), then the fields and
--   values to write
-- The message is acknowledged in the same step: a settled document has none in flight.
-- The same token settling again is a repeated request after a lost reply, and no duplicate.
local doc, batch = KEYS[1], KEYS[2]
local function acknowledge()
  if ARGV[6] ~= '' then
    redis.call('HDEL', KEYS[8], ARGV[6])
    redis.call('ZREM', KEYS[9], ARGV[6])
  end
end
local state = redis.call('HGET', doc, 'state')
if not state then return 0 end
if state == 'succeeded' or state == 'failed' or state == 'quarantined' then
  if redis.call('HGET', doc, 'settled_by') == ARGV[2] then
    acknowledge()
    return 1
  end
  redis.call('HINCRBY', batch, 'duplicates', 1)
  return 0
end
redis.call('HSET', doc, 'settled_by', ARGV[2], 'finished', ARGV[3], unpack(ARGV, 7))
redis.call('ZREM', KEYS[5], ARGV[1])
acknowledge()
state = redis.call('HGET', doc, 'state')
redis.call('HINCRBY', batch, state, 1)
redis.call('HINCRBY', KEYS[6], ARGV[5], 1)
local code = redis.call('HGET', doc, 'error')
if code and code ~= '' then redis.call('HINCRBY', batch, 'error:' .. code, 1) end
redis.call('RPUSH', KEYS[3], ARGV[1])
if state == 'quarantined' then
  redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
else
  redis.call('HDEL', doc, 'options')
  redis.call('EXPIRE', doc, ARGV[4])
end
local counts = redis.call('HMGET', batch, 'total', 'succeeded', 'failed', 'quarantined')
local done = 0
for i = 2, 4 do done = done + tonumber(counts[i] or '0') end
if done >= tonumber(counts[1] or '0') then
  redis.call('HSET', batch, 'finished', ARGV[3])
  -- A batch with documents in quarantine is not over: somebody has yet to decide about them.
  if tonumber(counts[4] or '0') == 0 then
    for _, key in ipairs({batch, KEYS[3], KEYS[7]}) do redis.call('EXPIRE', key, ARGV[4]) end
  end
end
return 1
