-- Record that a worker lives, by the server's clock, and what it has in progress.
-- ARGV: key prefix, queue, worker, then ids
local time = call('TIME')
call('HSET', ARGV[1] .. 'workers:' .. ARGV[2], ARGV[3], string.format('%d.%06d ', time[1], time[2]) .. table.concat(ARGV, ' ', 4))
return 1
