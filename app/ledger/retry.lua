-- Open a quarantined document again, first in line, with no attempt counted.
-- ARGV: key prefix, queue, now (us), least window, most events, id, batch, message template
local prefix, queue, id = ARGV[1], ARGV[2], ARGV[6]
local doc, batch = prefix .. 'doc:' .. id, prefix .. 'batch:' .. ARGV[7]
local known = call('HMGET', doc, 's', 'e', 'k')
if known[1] ~= 'q' then return 0 end
-- These meet a key of a wrong type before anything is written.
plan(prefix, queue, tonumber(ARGV[3]), 0)
call('HLEN', batch)
call('HLEN', prefix .. 'templates')
call('HLEN', prefix .. 'counts')
-- A dropped document keeps its state.
if call('ZREM', prefix .. 'quarantine', id) == 0 then return 0 end
call('HDEL', doc, 's', 'e', 'm', 'f', 'z', 'a', 'A', 'k')
if known[3] then call('HINCRBY', batch, 'kept', -1) end
call('HINCRBY', batch, 'quarantined', -1)
call('HINCRBY', batch, 'left', 1)
if known[2] then call('HINCRBY', batch, 'error:' .. known[2], -1) end
call('HDEL', batch, 'finished')
call('HSET', prefix .. 'templates', queue, ARGV[8])
call('ZADD', prefix .. 'open:' .. queue, FIRST, id)
call('HINCRBY', prefix .. 'counts', 'continued', 1)
call('XADD', prefix .. 'events', '*', 'opened', ARGV[7], 'n', 1)
fill(plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4])))
return 1
