-- Send an open document again whose message is lost; it may have been settled or advanced meanwhile.
-- KEYS: document, open set of the queue, the queue, counts
-- ARGV: id, queue, now, message
local known = redis.call('HMGET', KEYS[1], 'state', 'queue')
if known[1] ~= 'queued' and known[1] ~= 'running' then return 0 end
if known[2] ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('LPUSH', KEYS[3], ARGV[4])
redis.call('HINCRBY', KEYS[4], 'resent', 1)
return 1
