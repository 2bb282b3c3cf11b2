-- Settle a document: the first settlement counts; later ones only add to the duplicates.
-- ARGV: key prefix, queue, now (us), id, batch, token of the settler, state, error code ('' for none), wait (us), work (us),
--   histogram cell; then further fields and values to write
-- The same token settling again repeats a request whose reply was lost, and is no duplicate.
local prefix, id, batch, state, code = ARGV[1], ARGV[4], ARGV[5], ARGV[7], ARGV[8]
local doc, counts, settled = prefix .. 'doc:' .. id, prefix .. 'batch:' .. batch, prefix .. 'settled:' .. batch
local service, events = prefix .. 'service:' .. ARGV[2], prefix .. 'events'
local known = call('HMGET', doc, 's', 'q', 'z', 'p', 'c', 'i')
-- Another worker may have advanced it meanwhile.
local queue = known[2]
if not queue then return 0 end
if known[1] and known[1] ~= 'r' then
  if known[3] == ARGV[6] then return 1 end
  call('HINCRBY', counts, 'duplicates', 1)
  return 0
end
local open, running, ending = prefix .. 'open:' .. queue, prefix .. 'running:' .. queue, prefix .. 'ending:' .. queue
-- These meet a key of a wrong type before anything is written; that of the first write needs none.
local failure = code ~= '' and 'error:' .. code
local before = call('HMGET', counts, 'left', state, failure or 'left')
local left = tonumber(before[1] or '1') - 1
call('ZCARD', open)
call('STRLEN', service)
call('XLEN', events)
local held = call('HEXISTS', running, id) == 1
if not held then
  call('HLEN', ending)
  call('ZCARD', prefix .. 'due:' .. queue)
end
if state == 'quarantined' then call('ZCARD', prefix .. 'quarantine') end
if left <= 0 then
  for _, name in ipairs({'pdf', 'ocr'}) do call('HLEN', prefix .. 'lanes:' .. name) end
end
call('RPUSH', settled, id)
call('HSET', doc, 's', string.sub(state, 1, 1), 'z', ARGV[6], 'f', ARGV[3], unpack(ARGV, 12))
if known[5] or known[6] then call('HDEL', doc, 'c', 'i') end
if known[4] and state ~= 'quarantined' then call('HDEL', doc, 'p') end
if held then
  call('HDEL', running, id)
else
  -- Another worker has put it back, or this one is being stopped.
  call('HDEL', ending, id)
  call('ZREM', prefix .. 'due:' .. queue, id)
end
call('ZREM', open, id)
call('HSET', counts, 'left', left, state, tonumber(before[2] or '0') + 1)
if failure then call('HSET', counts, failure, tonumber(before[3] or '0') + 1) end
if state == 'quarantined' then call('ZADD', prefix .. 'quarantine', ARGV[3], id) end
count_service(service, ARGV[9], ARGV[10], ARGV[11])
call('XADD', events, '*', state == 'quarantined' and state or 'settled', id)
if left <= 0 then
  call('HSET', counts, 'finished', ARGV[3])
  for _, name in ipairs({'pdf', 'ocr'}) do call('HDEL', prefix .. 'lanes:' .. name, 'lane:' .. batch) end
end
return 1
