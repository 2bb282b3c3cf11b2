-- Send a document again whose message is lost; it may have been started, settled or advanced meanwhile.
-- ARGV: key prefix, queue, now (us), least window, most events, id
local prefix, queue, id = ARGV[1], ARGV[2], ARGV[6]
local open = prefix .. 'open:' .. queue
local place = call('ZSCORE', open, id)
if not place or tonumber(place) >= 0 or call('HEXISTS', prefix .. 'running:' .. queue, id) == 1 then return 0 end
local known = call('HMGET', prefix .. 'doc:' .. id, 's', 'q')
if known[1] or known[2] ~= queue then
  call('ZREM', open, id)
  return 0
end
-- These meet a key of a wrong type before anything is written.
plan(prefix, queue, tonumber(ARGV[3]), 0)
call('HLEN', prefix .. 'counts')
call('ZADD', open, FIRST, id)
call('HINCRBY', prefix .. 'counts', 'resent', 1)
fill(plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4])))
return 1
