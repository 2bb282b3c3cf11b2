-- Settle a document: the first settlement counts; later ones only add to the duplicates.
-- KEYS: document, batch, settled list, quarantine, open set of its queue, counts, batch documents,
--   in-flight hash, its index
-- ARGV: id, token of the settler, now, retention in seconds, queue, delivery tag ('' for none), state, error code
--   ('' for none), then further fields and values to write
-- The same step acknowledges the message: a settled document has none in flight.
-- The same token settling again is a repeated request after a lost reply, and no duplicate.
local doc, batch = KEYS[1], KEYS[2]
local function acknowledge()
  if ARGV[6] ~= '' then
    redis.call('HDEL', KEYS[8], ARGV[6])
    redis.call('ZREM', KEYS[9], ARGV[6])
  end
end
local known = redis.call('HMGET', doc, 'state', 'settled_by', 'options')
if not known[1] then return 0 end
if known[1] == 'succeeded' or known[1] == 'failed' or known[1] == 'quarantined' then
  if known[2] == ARGV[2] then
    acknowledge()
    return 1
  end
  redis.call('HINCRBY', batch, 'duplicates', 1)
  return 0
end
local state, code = ARGV[7], ARGV[8]
redis.call('HSET', doc, 'state', state, 'error', code, 'settled_by', ARGV[2], 'finished', ARGV[3], unpack(ARGV, 9))
redis.call('ZREM', KEYS[5], ARGV[1])
acknowledge()
redis.call('HINCRBY', batch, state, 1)
redis.call('HINCRBY', KEYS[6], ARGV[5], 1)
if code ~= '' then redis.call('HINCRBY', batch, 'error:' .. code, 1) end
redis.call('RPUSH', KEYS[3], ARGV[1])
if state == 'quarantined' then
  redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
else
  if known[3] then redis.call('HDEL', doc, 'options') end
  redis.call('EXPIRE', doc, ARGV[4])
end
local counts = redis.call('HMGET', batch, 'total', 'succeeded', 'failed', 'quarantined')
local done = 0
for i = 2, 4 do done = done + tonumber(counts[i] or '0') end
if done >= tonumber(counts[1] or '0') then
  redis.call('HSET', batch, 'finished', ARGV[3])
  -- A batch with documents in quarantine does not expire: somebody has yet to decide about them.
  if tonumber(counts[4] or '0') == 0 then
    for _, key in ipairs({batch, KEYS[3], KEYS[7]}) do redis.call('EXPIRE', key, ARGV[4]) end
  end
end
return 1
