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

-- Raise an error unless each key has its type or is missing: nothing is written before.
local function check(...)
  for i = 1, select('#', ...), 2 do
    local key, wanted = select(i, ...)
    local found = call('TYPE', key).ok
    if found ~= wanted and found ~= 'none' then
      error({err = 'WRONGTYPE ' .. key .. ' is a ' .. found .. ' and must be a ' .. wanted .. '; nothing was written'})
    end
  end
end

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

-- Move the documents whose pause is over from the due set to the open set.
local function end_pauses(prefix, queue, now)
  local due = call('ZRANGEBYSCORE', prefix .. 'due:' .. queue, '-inf', now, 'LIMIT', 0, SLICE)
  for _, id in ipairs(due) do
    call('ZREM', prefix .. 'due:' .. queue, id)
    call('ZADD', prefix .. 'open:' .. queue, FIRST, id)
  end
end

-- Put the messages of the next documents on the queue, until it holds a window: the larger of `least` and twice the
-- running documents; without limit if `least` is 0.
local function top_up(prefix, queue, now, least)
  local size, room = math.huge, SLICE
  if least > 0 then
    size = math.max(least, 2 * call('HLEN', prefix .. 'running:' .. queue))
    room = size - call('LLEN', queue)
    -- In portions: a step for one message costs nearly as much as a step for four.
    if room * 4 < size then return end
  end
  end_pauses(prefix, queue, now)
  local open, parts = prefix .. 'open:' .. queue, nil
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
      scores[#scores + 1] = now - SENT
      scores[#scores + 1] = ids[i]
      if tonumber(ids[i + 1]) >= NORMAL then clock = ids[i + 1] end
    end
    call('ZADD', open, unpack(scores))
    call('LPUSH', queue, unpack(messages))
    if clock then call('HSET', prefix .. 'lanes:' .. queue, 'clock', clock) end
    room = room - #messages
  until least > 0 and room <= 0
end
