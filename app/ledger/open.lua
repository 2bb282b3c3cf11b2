-- Open documents: their entries, and their places in the fair order of their queue; unless the server is full.
-- ARGV: key prefix, queue, now (us), least window, batch, weight of its lane, 1 for express or 0, message template,
--   share of maxmemory from which nothing is opened, retention (s); then id, source, options ('' for none) by threes
-- Returns how many were opened, or {bytes in use or needed for what is open, maxmemory} if the server is full. A known
-- document is skipped, so that a chunk may be sent again after a lost reply.
local prefix, queue, now, least = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local name = ARGV[5]
local batch = prefix .. 'batch:' .. name
-- Bytes that a document takes when it is settled, over those that it takes when it is open.
local SETTLED = 150
check(batch, 'hash', prefix .. 'batches', 'zset', prefix .. 'open:' .. queue, 'zset', prefix .. 'lanes:' .. queue, 'hash',
  prefix .. 'templates', 'hash', prefix .. 'due:' .. queue, 'zset', prefix .. 'running:' .. queue, 'hash',
  queue, 'list', prefix .. 'settled:' .. name, 'list')
local fresh, seen = {}, {}
for i = 11, #ARGV, 3 do
  local id = ARGV[i]
  if not seen[id] and call('EXISTS', prefix .. 'doc:' .. id) == 0 then fresh[#fresh + 1] = i end
  seen[id] = true
end
if #fresh == 0 then return 0 end
-- The rest of the memory is for the steps that work on open documents. A settled document takes more than an open one, so
-- what is open counts with that.
local memory = call('INFO', 'memory')
local most = tonumber(string.match(memory, '\nmaxmemory:(%d+)') or '0')
if most > 0 then
  local used = tonumber(string.match(memory, '\nused_memory:(%d+)')) + SETTLED * call('ZCARD', prefix .. 'open:' .. queue)
  if used >= most * tonumber(ARGV[9]) then
    -- A batch whose documents are all settled must not expire while a flood waits to add the others.
    call('EXPIRE', batch, ARGV[10], 'XX')
    call('EXPIRE', prefix .. 'settled:' .. name, ARGV[10], 'XX')
    return {used, most}
  end
end
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
call('PERSIST', batch)
call('PERSIST', prefix .. 'settled:' .. name)
call('ZADD', prefix .. 'batches', ARGV[3], name)
call('HSET', prefix .. 'templates', queue, ARGV[8])
add_waiting(prefix, queue, name, ids, tonumber(ARGV[6]), ARGV[7] == '1')
top_up(prefix, queue, now, least)
return #ids
