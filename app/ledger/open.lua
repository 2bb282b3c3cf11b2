-- Open documents: ledger entries, their place in the batch and their messages, in one atomic step.
-- KEYS: batch, batch documents, batches, open set of the queue, the queue itself, settled list
-- ARGV: document key prefix, batch id, now, queue name, then id, source, object key, options, message by fives
-- A known document is skipped, so that a chunk may be sent again after a lost reply.
local prefix, batch, now, queue = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local opened, messages, scores = {}, {}, {}
for i = 5, #ARGV, 5 do
  local id = ARGV[i]
  local key = prefix .. id
  if redis.call('EXISTS', key) == 0 then
    -- Fields with their default value are left out: this is the fleet's hottest line.
    redis.call('HSET', key, 'state', 'queued', 'batch', batch, 'source', ARGV[i + 1], 'object', ARGV[i + 2],
      'queue', queue, 'opened', now)
    if ARGV[i + 3] ~= '' then redis.call('HSET', key, 'options', ARGV[i + 3]) end
    opened[#opened + 1] = id
    messages[#messages + 1] = ARGV[i + 4]
    scores[#scores + 1] = now
    scores[#scores + 1] = id
  end
end
if #opened > 0 then
  redis.call('ZADD', KEYS[4], unpack(scores))
  redis.call('RPUSH', KEYS[2], unpack(opened))
  redis.call('HINCRBY', KEYS[1], 'total', #opened)
  redis.call('HSETNX', KEYS[1], 'opened', now)
  redis.call('HDEL', KEYS[1], 'finished')
  redis.call('PERSIST', KEYS[1])
  redis.call('PERSIST', KEYS[2])
  redis.call('PERSIST', KEYS[6])
  redis.call('ZADD', KEYS[3], now, batch)
  redis.call('LPUSH', KEYS[5], unpack(messages))
end
return #opened
