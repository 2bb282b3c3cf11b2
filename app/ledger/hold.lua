-- Count a plain task, which keeps no ledger, as running.
-- ARGV: key prefix, queue, delivery tag, worker
return call('HSET', ARGV[1] .. 'running:' .. ARGV[2], ARGV[3], ARGV[4])
