-- Remove a document from the quarantine for good; it stays settled as quarantined.
-- ARGV: key prefix, id, batch
local prefix, id = ARGV[1], ARGV[2]
local doc, batch, counts = prefix .. 'doc:' .. id, prefix .. 'batch:' .. ARGV[3], prefix .. 'counts'
-- These meet a key of a wrong type before anything is written.
local archived = call('HEXISTS', doc, 'k') == 1
call('HLEN', batch)
call('HLEN', counts)
if call('ZREM', prefix .. 'quarantine', id) == 0 then return 0 end
if archived then
  call('UNLINK', doc)
  call('HINCRBY', batch, 'kept', -1)
  call('HINCRBY', counts, 'archived', 1)
else
  call('HDEL', doc, 'p')
end
return 1
