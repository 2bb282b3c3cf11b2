-- Count an attempt before the work begins.
-- ARGV: key prefix, queue, now (us), least window, most events, id, worker, most attempts, list of the worker's messages
--   ('' if its message is not there)
-- Returns {'unknown'}, {'final'}, {'advanced'}, {'running'}, {'exhausted'}, or {'started', attempts, then the fields and
--   values that the document had before}; the same worker starting it again repeats a request whose reply was lost.
local prefix, queue, id, worker, taken = ARGV[1], ARGV[2], ARGV[6], ARGV[7], ARGV[9]
local doc, running = prefix .. 'doc:' .. id, prefix .. 'running:' .. queue
local fields, known = call('HGETALL', doc), {}
for i = 1, #fields, 2 do known[fields[i]] = fields[i + 1] end
local state = known.s
if not known.q then return {'unknown'} end
if state and state ~= 'r' then return {'final'} end
if known.q ~= queue then return {'advanced'} end
local attempts = tonumber(known.a or '0')
-- A document of a worker that is being stopped is not among the running ones.
local holder = call('HGET', running, id) or (state and call('HGET', prefix .. 'ending:' .. queue, id))
if holder and holder ~= worker then return {'running'} end
if not holder and attempts >= tonumber(ARGV[8]) then return {'exhausted'} end
-- A second message may start a document that pauses.
local pauses = known.c and call('ZSCORE', prefix .. 'due:' .. queue, id)
if pauses then call('ZCARD', prefix .. 'open:' .. queue) end
local todo = plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4]))
if taken ~= '' then
  -- Usually the list holds the one message that is being started. This write comes first, so it needs no check.
  local message = call('RPOP', taken)
  if message and not string.find(message, id, 1, true) then
    call('RPUSH', taken, message)
    for _, other in ipairs(call('LRANGE', taken, 0, -1)) do
      if string.find(other, id, 1, true) then call('LREM', taken, 1, other) end
    end
  end
end
if not holder then
  attempts = attempts + 1
  if pauses then
    call('ZREM', prefix .. 'due:' .. queue, id)
    call('ZADD', prefix .. 'open:' .. queue, tonumber(ARGV[3]) - SENT, id)
  end
  -- 't' is the first start; a later one is in 'x'.
  call('HSET', doc, 's', 'r', 'a', attempts, known.t and 'x' or 't', ARGV[3])
  -- They belong to an earlier attempt; this one may end without leaving any.
  if known.m then call('HDEL', doc, 'e', 'm') end
  call('HSET', running, id, worker)
end
fill(todo)
return {'started', tostring(attempts), unpack(fields)}
