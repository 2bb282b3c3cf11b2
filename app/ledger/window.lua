-- Shared by every step: the fair order of a queue's open documents, and the window of messages on the queue.
--
-- `open:<queue>` holds each open document once, and its score is its place:
--   FIRST                    first in line: it was requeued
--   1 to NORMAL              express documents, in the order they were opened
--   from NORMAL on           the other documents, in fair order over the lanes
--   below 0                  its message is on the queue or delivered: the time of sending (us, epoch) less SENT
-- A lane is the waiting documents of one batch. The fair order is start-time fair queueing (Goyal, Vin, Cheng: "Start-time
-- Fair Queueing", SIGCOMM 1996): a document's place is one step behind its predecessor's in the lane, but never before
-- the queue's clock, which is the place of the document sent last. A step is STEP divided by the lane's weight.
local call = redis.call
local FIRST, NORMAL, SENT, STEP = 0, 1e9, 9e15, 1000
-- Lua passes at most some 8,000 arguments.
local SLICE = 1000

-- Add documents to the open set: at the end of their lane, or of the express documents.
local function add_waiting(prefix, queue, batch, ids, weight, express)
  local open, lanes = prefix .. 'open:' .. queue, prefix .. 'lanes:' .. queue
  local place, step
  if express then
    step = 1
    place = call('HINCRBY', lanes, 'express', #ids) - #ids
  else
    local known = call('HMGET', lanes, 'clock', 'lane:' .. batch)
    step = STEP / weight
    place = math.max(tonumber(known[1] or NORMAL), tonumber(known[2] or NORMAL))
    call('HSET', lanes, 'lane:' .. batch, place + step * #ids)
  end
  local scores = {}
  for i, id in ipairs(ids) do
    scores[#scores + 1] = place + step * i
    scores[#scores + 1] = id
    if i % SLICE == 0 or i == #ids then
      call('ZADD', open, unpack(scores))
      scores = {}
    end
  end
end

-- Count a pass through a queue: three sums of 64 bits in one string, as one command costs less than three on a hash.
-- app/ledger/record.py knows the places.
local function count_service(service, wait, work, cell)
  call('BITFIELD', service, 'INCRBY', 'i64', '#0', wait, 'INCRBY', 'i64', '#1', work, 'INCRBY', 'i64', cell, 1)
end

-- Return what the window of a queue lacks, as a plan for `fill`; nil if it is full enough. Only reads, so that a step that
-- plans before it writes meets a key of a wrong type in time. `least` is the fewest messages of a window (it is twice the
-- running documents if that is more); 0 is without limit.
local function plan(prefix, queue, now, least)
  local size, room = math.huge, SLICE
  local waiting, running = call('LLEN', queue), call('HLEN', prefix .. 'running:' .. queue)
  if least > 0 then
    size = math.max(least, 2 * running)
    room = size - waiting
    -- In portions of half a window: a message alone costs nearly as much as four.
    if room * 2 < size then return nil end
  end
  local due = call('ZRANGEBYSCORE', prefix .. 'due:' .. queue, '-inf', now, 'LIMIT', 0, SLICE)
  call('ZCARD', prefix .. 'open:' .. queue)
  call('HLEN', prefix .. 'lanes:' .. queue)
  call('HLEN', prefix .. 'templates')
  call('XLEN', prefix .. 'events')
  return {prefix = prefix, queue = queue, now = now, room = room, bound = least > 0, due = due}
end

-- Carry out a plan: reopen the documents whose pause is over, and put the messages of the next documents on the queue. The
-- fifth argument of every step that fills is the number of events to keep.
local function fill(todo)
  if not todo then return end
  local prefix, queue = todo.prefix, todo.queue
  local open, room, parts = prefix .. 'open:' .. queue, todo.room, nil
  -- Here, as every document passes here, and a step for one document then need not.
  call('XTRIM', prefix .. 'events', 'MAXLEN', '~', ARGV[5])
  for _, id in ipairs(todo.due) do
    -- The step itself may have started one of them.
    if call('ZREM', prefix .. 'due:' .. queue, id) == 1 then call('ZADD', open, FIRST, id) end
  end
  repeat
    local ids = call('ZRANGEBYSCORE', open, 0, '+inf', 'WITHSCORES', 'LIMIT', 0, math.min(room, SLICE))
    if #ids == 0 then return end
    if not parts then
      parts = {}
      -- The document's id stands wherever the template was cut.
      for part in string.gmatch(call('HGET', prefix .. 'templates', queue), '[^\1]+') do parts[#parts + 1] = part end
    end
    local messages, scores, clock = {}, {}, nil
    for i = 1, #ids, 2 do
      messages[#messages + 1] = table.concat(parts, ids[i])
      scores[i], scores[i + 1] = todo.now - SENT, ids[i]
      if tonumber(ids[i + 1]) >= NORMAL then clock = ids[i + 1] end
    end
    call('ZADD', open, unpack(scores))
    call('LPUSH', queue, unpack(messages))
    if clock then call('HSET', prefix .. 'lanes:' .. queue, 'clock', clock) end
    room = room - #messages
  until todo.bound and room <= 0
end
