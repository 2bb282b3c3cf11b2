-- Remove a batch from the ledger: its documents and its counts are in the archive.
-- ARGV: key prefix, token of the archiver's lease, batch, its fields `opened` and `finished`
-- Returns 1, or 0 if it is not this archiver's turn, or if the batch is no longer as it was read.
local prefix, name = ARGV[1], ARGV[3]
local batch, settled, batches = prefix .. 'batch:' .. name, prefix .. 'settled:' .. name, prefix .. 'batches'
if call('GET', prefix .. 'archive') ~= ARGV[2] then return 0 end
local known = call('HMGET', batch, 'opened', 'finished', 'kept')
if known[1] ~= ARGV[4] or known[2] ~= ARGV[5] or tonumber(known[3] or '0') > 0 then return 0 end
-- These meet a key of a wrong type before anything is written.
call('ZCARD', batches)
if call('LLEN', settled) > 0 then return 0 end
call('UNLINK', batch)
call('ZREM', batches, name)
return 1
