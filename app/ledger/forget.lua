-- Record that a worker is gone.
-- ARGV: key prefix, queue, worker
return call('HSET', ARGV[1] .. 'workers:' .. ARGV[2], ARGV[3], '0')
