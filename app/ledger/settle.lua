-- Settle a document: the first settlement counts; later ones only add to the duplicates.
-- ARGV: key prefix, queue, now (us), id, batch, token of the settler, state, error code ('' for none), wait (us), work (us),
--   histogram cell, retention (s); then further fields and values to write
-- The same token settling again repeats a request whose reply was lost, and is no duplicate.
local prefix, id, batch = ARGV[1], ARGV[4], ARGV[5]
local doc, counts, settled = prefix .. 'doc:' .. id, prefix .. 'batch:' .. batch, prefix .. 'settled:' .. batch
local times = prefix .. 'times:' .. ARGV[2]
local known = call('HMGET', doc, 's', 'q', 'z', 'p')
-- Another worker may have advanced it meanwhile.
local queue = known[2]
if not queue then return 0 end
if known[1] and known[1] ~= 'running' then
  if known[3] == ARGV[6] then return 1 end
  call('HINCRBY', counts, 'duplicates', 1)
  return 0
end
local open, running, ending = prefix .. 'open:' .. queue, prefix .. 'running:' .. queue, prefix .. 'ending:' .. queue
check(counts, 'hash', settled, 'list', open, 'zset', running, 'hash', ending, 'hash', times, 'hash')
local state, code = ARGV[7], ARGV[8]
call('HSET', doc, 's', state, 'z', ARGV[6], 'f', ARGV[3], unpack(ARGV, 13))
call('HDEL', doc, 'c', 'i', 'x')
call('ZREM', open, id)
call('HDEL', running, id)
call('HDEL', ending, id)
call('HINCRBY', counts, state, 1)
if code ~= '' then call('HINCRBY', counts, 'error:' .. code, 1) end
call('RPUSH', settled, id)
if state == 'quarantined' then
  call('ZADD', prefix .. 'quarantine', ARGV[3], id)
else
  if known[4] then call('HDEL', doc, 'p') end
  call('EXPIRE', doc, ARGV[12])
end
call('HINCRBY', times, 'passes', 1)
call('HINCRBY', times, 'wait', ARGV[9])
call('HINCRBY', times, 'work', ARGV[10])
call('HINCRBY', times, ARGV[11], 1)
if call('HINCRBY', counts, 'left', -1) <= 0 then
  call('HSET', counts, 'finished', ARGV[3])
  for _, lane in ipairs({'pdf', 'ocr'}) do call('HDEL', prefix .. 'lanes:' .. lane, 'lane:' .. batch) end
  -- A batch with documents in quarantine does not expire: somebody has yet to decide about them.
  if tonumber(call('HGET', counts, 'quarantined') or '0') == 0 then
    call('EXPIRE', counts, ARGV[12])
    call('EXPIRE', settled, ARGV[12])
  end
end
return 1
