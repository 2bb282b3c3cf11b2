-- Move a running document to its next queue, with the results of this pass.
-- ARGV: key prefix, queue, now (us), least window, most events, id, next queue, batch, message template of the next queue,
--   wait (us), work (us), histogram cell; then the fields and values to write
local prefix, queue, id, following = ARGV[1], ARGV[2], ARGV[6], ARGV[7]
local doc, service, templates = prefix .. 'doc:' .. id, prefix .. 'service:' .. queue, prefix .. 'templates'
local batch = prefix .. 'batch:' .. ARGV[8]
local known = call('HMGET', doc, 's', 'q', 'a', 'A')
if known[2] ~= queue or (known[1] and known[1] ~= 'r') then return 0 end
-- These meet a key of a wrong type before anything is written.
local lane = call('HMGET', batch, 'weight', 'express')
plan(prefix, following, tonumber(ARGV[3]), 0)
call('ZCARD', prefix .. 'open:' .. queue)
call('HLEN', prefix .. 'running:' .. queue)
call('HLEN', prefix .. 'ending:' .. queue)
call('HLEN', prefix .. 'lanes:' .. following)
call('ZCARD', prefix .. 'due:' .. queue)
call('STRLEN', service)
call('HLEN', templates)
call('HLEN', prefix .. 'counts')
local before = math.max(tonumber(known[3] or '0'), tonumber(known[4] or '0'))
call('HSET', doc, 'q', following, 'A', before, 'v', ARGV[3], unpack(ARGV, 13))
call('HDEL', doc, 's', 'a', 'c', 'i', 'x')
call('ZREM', prefix .. 'open:' .. queue, id)
call('ZREM', prefix .. 'due:' .. queue, id)
call('HDEL', prefix .. 'running:' .. queue, id)
call('HDEL', prefix .. 'ending:' .. queue, id)
call('HSET', templates, following, ARGV[9])
add_waiting(prefix, following, ARGV[8], {id}, tonumber(lane[1] or '1'), lane[2] == '1')
count_service(service, ARGV[10], ARGV[11], ARGV[12])
call('HINCRBY', prefix .. 'counts', 'continued', 1)
call('XADD', prefix .. 'events', '*', 'advanced', id)
fill(plan(prefix, following, tonumber(ARGV[3]), tonumber(ARGV[4])))
return 1
