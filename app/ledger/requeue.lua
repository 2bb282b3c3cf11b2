-- Put a started document back: first in line, or into the due set until its pause is over.
-- ARGV: key prefix, queue, now (us), least window, most events, id, worker that has it, due time (us; '' for at once), most
--   refunds, 1 to refund the attempt or 0, 1 to count a retry or 0, error code ('' for none), message, name of a count ('' for none), most
--   events
-- A refund without a retry is an interruption; a document that has had `most refunds` of them keeps the attempt counted.
local prefix, queue, id, worker = ARGV[1], ARGV[2], ARGV[6], ARGV[7]
local doc, running, ending = prefix .. 'doc:' .. id, prefix .. 'running:' .. queue, prefix .. 'ending:' .. queue
if call('HGET', running, id) ~= worker and call('HGET', ending, id) ~= worker then return 0 end
local known = call('HMGET', doc, 's', 'q', 'i')
if known[1] ~= 'r' or known[2] ~= queue then
  call('HDEL', running, id)
  call('HDEL', ending, id)
  return 0
end
-- These meet a key of a wrong type before anything is written.
plan(prefix, queue, tonumber(ARGV[3]), 0)
call('HLEN', ending)
call('HLEN', prefix .. 'counts')
if ARGV[11] == '1' then
  call('HINCRBY', doc, 'c', 1)
  if ARGV[10] == '1' then call('HINCRBY', doc, 'a', -1) end
elseif ARGV[10] == '1' and tonumber(known[3] or '0') < tonumber(ARGV[9]) then
  call('HINCRBY', doc, 'i', 1)
  call('HINCRBY', doc, 'a', -1)
end
if ARGV[12] ~= '' then call('HSET', doc, 'e', ARGV[12], 'm', ARGV[13]) end
call('HDEL', doc, 's')
call('HDEL', running, id)
call('HDEL', ending, id)
if ARGV[8] == '' then
  call('ZADD', prefix .. 'open:' .. queue, FIRST, id)
else
  call('ZREM', prefix .. 'open:' .. queue, id)
  call('ZADD', prefix .. 'due:' .. queue, ARGV[8], id)
end
if ARGV[14] ~= '' then call('HINCRBY', prefix .. 'counts', ARGV[14], 1) end
if ARGV[11] == '1' then call('XADD', prefix .. 'events', '*', 'retried', id) end
fill(plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4])))
return 1
