-- Requeue a message in flight, first in line, or drop it if its document is settled.
-- KEYS: in-flight hash, its index, the queue, counts
-- ARGV: delivery tag, message ('' to drop)
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then
  redis.call('RPUSH', KEYS[3], ARGV[2])
  redis.call('HINCRBY', KEYS[4], 'returned', 1)
end
return 1
