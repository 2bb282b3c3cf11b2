-- Set a started document back to queued.
-- KEYS: document
-- ARGV: worker, error code ('' for none), message, 1 to refund the attempt or 0 to let it count
local doc = KEYS[1]
local known = redis.call('HMGET', doc, 'state', 'worker')
if known[1] ~= 'running' or known[2] ~= ARGV[1] then return 0 end
if ARGV[4] == '1' then redis.call('HINCRBY', doc, 'attempts', -1) end
redis.call('HSET', doc, 'state', 'queued', 'last_error', ARGV[2], 'last_message', ARGV[3])
return 1
