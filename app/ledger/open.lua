-- Open documents: their entries, and their places in the fair order of their queue; unless the server is full.
-- ARGV: key prefix, queue, now (us), least window, most events, batch, weight of its lane, 1 for express or 0, message
--   template, share of maxmemory from which nothing is opened; then id, source, options ('' for none) by threes
-- Returns how many were opened, or {bytes in use or needed for what is open, maxmemory} if the server is full. A known
-- document is skipped, so that a chunk may be sent again after a lost reply.
local prefix, queue, name = ARGV[1], ARGV[2], ARGV[6]
local batch, lanes, templates = prefix .. 'batch:' .. name, prefix .. 'lanes:' .. queue, prefix .. 'templates'
-- Bytes that a settled document may take beyond those of an open one: the message of an error.
local SETTLED = 100
-- These meet a key of a wrong type before anything is written.
call('HLEN', batch)
call('HLEN', lanes)
call('HLEN', templates)
call('ZCARD', prefix .. 'batches')
call('ZCARD', prefix .. 'due:' .. queue)
plan(prefix, queue, tonumber(ARGV[3]), 0)
local open = call('ZCARD', prefix .. 'open:' .. queue)
local keys, fresh, seen = {}, {}, {}
for i = 11, #ARGV, 3 do keys[#keys + 1] = prefix .. 'doc:' .. ARGV[i] end
-- In most chunks no document is known, which one command tells.
local known = call('EXISTS', unpack(keys)) > 0
for position, doc in ipairs(keys) do
  if not seen[doc] and not (known and call('EXISTS', doc) == 1) then fresh[#fresh + 1] = position end
  seen[doc] = true
end
if #fresh == 0 then return 0 end
-- The rest of the memory is for the steps that work on open documents, which count with what they may still take.
local memory = call('INFO', 'memory')
local most = tonumber(string.match(memory, '\nmaxmemory:(%d+)') or '0')
if most > 0 then
  local used = tonumber(string.match(memory, '\nused_memory:(%d+)')) + SETTLED * open
  if used >= most * tonumber(ARGV[10]) then
    -- A batch whose documents are all settled must not expire while a flood waits to add the others.
    if call('HEXISTS', batch, 'finished') == 1 then call('HSET', batch, 'finished', ARGV[3]) end
    return {used, most}
  end
end
local ids = {}
for place, position in ipairs(fresh) do
  local i = 8 + 3 * position
  call('HSET', keys[position], 'b', name, 'n', ARGV[i + 1], 'q', queue, 'o', ARGV[3])
  if ARGV[i + 2] ~= '' then call('HSET', keys[position], 'p', ARGV[i + 2]) end
  ids[place] = ARGV[i]
end
call('HINCRBY', batch, 'total', #ids)
call('HINCRBY', batch, 'left', #ids)
call('HSETNX', batch, 'opened', ARGV[3])
call('HDEL', batch, 'finished', 'weight', 'express')
-- Its lane in the next queue is going to be like the one here.
if ARGV[7] ~= '1' then call('HSET', batch, 'weight', ARGV[7]) end
if ARGV[8] == '1' then call('HSET', batch, 'express', 1) end
call('ZADD', prefix .. 'batches', ARGV[3], name)
call('HSET', templates, queue, ARGV[9])
add_waiting(prefix, queue, name, ids, tonumber(ARGV[7]), ARGV[8] == '1')
call('XADD', prefix .. 'events', '*', 'opened', name, 'n', #ids)
fill(plan(prefix, queue, tonumber(ARGV[3]), tonumber(ARGV[4])))
return #ids
