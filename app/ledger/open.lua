-- Open documents: their entries, and their places in the fair order of their queue.
-- ARGV: key prefix, queue, now (us), least window, batch, weight of its lane, 1 for express or 0, message template; then id,
--   source, options ('' for none) by threes
-- Returns how many were opened; a known document is skipped, so that a chunk may be sent again after a lost reply.
local prefix, queue, name = ARGV[1], ARGV[2], ARGV[5]
local batch, lanes, templates = prefix .. 'batch:' .. name, prefix .. 'lanes:' .. queue, prefix .. 'templates'
-- These meet a key of a wrong type before anything is written.
call('HLEN', batch)
call('HLEN', lanes)
call('HLEN', templates)
call('ZCARD', prefix .. 'batches')
call('ZCARD', prefix .. 'open:' .. queue)
call('ZCARD', prefix .. 'due:' .. queue)
plan(prefix, queue, tonumber(ARGV[3]), 0)
local fresh, seen = {}, {}
for i = 9, #ARGV, 3 do
  local id = ARGV[i]
  if not seen[id] and call('EXISTS', prefix .. 'doc:' .. id) == 0 then fresh[#fresh + 1] = i end
  seen[id] = true
end
if #fresh == 0 then return 0 end
local ids = {}
for position, i in ipairs(fresh) do
  local doc = prefix .. 'doc:' .. ARGV[i]
  call('HSET', doc, 'b', name, 'n', ARGV[i + 1], 'q', queue, 'o', ARGV[3])
  if ARGV[i + 2] ~= '' then call('HSET', doc, 'p', ARGV[i + 2]) end
  ids[position] = ARGV[i]
end
call('HINCRBY', batch, 'total', #ids)
call('HINCRBY', batch, 'left', #ids)
call('HSETNX', batch, 'opened', ARGV[3])
call('HDEL', batch, 'finished')
call('ZADD', prefix .. 'batches', ARGV[3], name)
call('HSET', templates, queue, ARGV[8])
add_waiting(prefix, queue, name, ids, tonumber(ARGV[6]), ARGV[7] == '1')
fill(plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4])))
return #ids
