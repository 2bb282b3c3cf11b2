-- Move a running document to its next queue, with the results of this pass.
-- ARGV: key prefix, queue, now (us), least window, id, next queue, batch, message template of the next queue, wait (us),
--   work (us), histogram cell; then the fields and values to write
local prefix, queue, id, following = ARGV[1], ARGV[2], ARGV[5], ARGV[6]
local doc, times = prefix .. 'doc:' .. id, prefix .. 'times:' .. queue
local known = call('HMGET', doc, 's', 'q', 'a', 'A')
if not known[2] or known[2] ~= queue or (known[1] and known[1] ~= 'running') then return 0 end
for _, name in ipairs({queue, following}) do
  check(name, 'list', prefix .. 'open:' .. name, 'zset', prefix .. 'lanes:' .. name, 'hash', prefix .. 'due:' .. name,
    'zset', prefix .. 'running:' .. name, 'hash', prefix .. 'ending:' .. name, 'hash')
end
check(times, 'hash', prefix .. 'templates', 'hash')
local before = math.max(tonumber(known[3] or '0'), tonumber(known[4] or '0'))
call('HSET', doc, 'q', following, 'A', before, 'v', ARGV[3], unpack(ARGV, 12))
call('HDEL', doc, 's', 'a', 'c', 'i', 'x')
call('ZREM', prefix .. 'open:' .. queue, id)
call('HDEL', prefix .. 'running:' .. queue, id)
call('HDEL', prefix .. 'ending:' .. queue, id)
call('HSET', prefix .. 'templates', following, ARGV[8])
add_waiting(prefix, following, ARGV[7], {id}, 1, false)
call('HINCRBY', times, 'passes', 1)
call('HINCRBY', times, 'wait', ARGV[9])
call('HINCRBY', times, 'work', ARGV[10])
call('HINCRBY', times, ARGV[11], 1)
top_up(prefix, following, tonumber(ARGV[3]), tonumber(ARGV[4]))
return 1
