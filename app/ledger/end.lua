-- Take the documents of a worker that is being stopped out of the scaling metric: they need no replacement for it.
-- ARGV: key prefix, queue, worker, then ids
local prefix, queue, worker = ARGV[1], ARGV[2], ARGV[3]
local running, ending, open = prefix .. 'running:' .. queue, prefix .. 'ending:' .. queue, prefix .. 'open:' .. queue
-- These meet a key of a wrong type before anything is written.
call('HLEN', ending)
call('ZCARD', open)
local moved = 0
for i = 4, #ARGV do
  if call('HGET', running, ARGV[i]) == worker then
    call('HDEL', running, ARGV[i])
    call('HSET', ending, ARGV[i], worker)
    call('ZREM', open, ARGV[i])
    moved = moved + 1
  end
end
return moved
