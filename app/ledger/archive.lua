-- Remove documents from the head of a batch's list of settled ones: their part of the archive is stored.
-- ARGV: key prefix, token of the archiver's lease, batch, its field `opened`, position of the first place; then, for each
--   place, the document's id and the time when it was settled as the part has it ('' for a place without a document)
-- Returns how many documents left the ledger; -1 if it is not this archiver's turn. A document keeps its entry if it is not
-- settled as the part has it (its later place counts), and while it is in the quarantine.
local prefix, name, position = ARGV[1], ARGV[3], tonumber(ARGV[5])
local batch, settled, quarantine = prefix .. 'batch:' .. name, prefix .. 'settled:' .. name, prefix .. 'quarantine'
local counts = prefix .. 'counts'
local places = (#ARGV - 5) / 2
if call('GET', prefix .. 'archive') ~= ARGV[2] then return -1 end
local known = call('HMGET', batch, 'opened', 'trimmed')
local trimmed = tonumber(known[2] or '0')
if known[1] ~= ARGV[4] then return -1 end
-- Only the holder of the lease trims: this is its own request, repeated as the reply was lost.
if trimmed == position + places then return 0 end
if trimmed ~= position or call('LLEN', settled) < places then return -1 end
-- These meet a key of a wrong type before anything is written.
call('HLEN', counts)
call('ZCARD', quarantine)
local leaving, staying = {}, {}
for i = 6, #ARGV, 2 do
  local doc = prefix .. 'doc:' .. ARGV[i]
  if ARGV[i + 1] ~= '' and call('HGET', doc, 'f') == ARGV[i + 1] then
    local list = call('ZSCORE', quarantine, ARGV[i]) and staying or leaving
    list[#list + 1] = doc
  end
end
local kept, gone = 0, 0
for _, doc in ipairs(staying) do kept = kept + call('HSET', doc, 'k', 1) end
for i = 1, #leaving, SLICE do
  gone = gone + call('UNLINK', unpack(leaving, i, math.min(i + SLICE - 1, #leaving)))
end
call('LTRIM', settled, places, -1)
call('HSET', batch, 'trimmed', position + places)
if kept > 0 then call('HINCRBY', batch, 'kept', kept) end
if gone > 0 then call('HINCRBY', counts, 'archived', gone) end
return gone
