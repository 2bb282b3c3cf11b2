-- Count an attempt before the work begins.
-- ARGV: key prefix, queue, now (us), least window, id, worker, most attempts, list of the worker's messages ('' if its
--   message is not there)
-- Returns {'unknown'}, {'final'}, {'advanced'}, {'running'}, {'exhausted'}, or {'started', attempts, then the values of
--   b n o p t v A c r y}; the same worker starting it again repeats a request whose reply was lost.
local prefix, queue, id, worker, taken = ARGV[1], ARGV[2], ARGV[5], ARGV[6], ARGV[8]
local doc, running = prefix .. 'doc:' .. id, prefix .. 'running:' .. queue
local known = call('HMGET', doc, 's', 'q', 'a', 'm', 'b', 'n', 'o', 'p', 't', 'v', 'A', 'c', 'r', 'y')
local state = known[1]
if not known[2] then return {'unknown'} end
if state and state ~= 'r' then return {'final'} end
if known[2] ~= queue then return {'advanced'} end
local attempts = tonumber(known[3] or '0')
local holder = call('HGET', running, id)
if holder and holder ~= worker then return {'running'} end
local todo = plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4]))
local messages = taken == '' and 0 or call('LLEN', taken)
if not holder then
  if attempts >= tonumber(ARGV[7]) then return {'exhausted'} end
  attempts = attempts + 1
  -- 't' is the first start; a later one is in 'x'.
  call('HSET', doc, 's', 'r', 'a', attempts, known[9] and 'x' or 't', ARGV[3])
  -- They belong to an earlier attempt; this one may end without leaving any.
  if known[4] then call('HDEL', doc, 'e', 'm') end
  call('HSET', running, id, worker)
end
if messages == 1 then
  call('DEL', taken)
elseif messages > 1 then
  for _, message in ipairs(call('LRANGE', taken, 0, -1)) do
    if string.find(message, id, 1, true) then call('LREM', taken, 1, message) end
  end
end
fill(todo)
local reply = {'started', tostring(attempts)}
for i = 5, 14 do reply[i - 2] = known[i] or '' end
return reply
