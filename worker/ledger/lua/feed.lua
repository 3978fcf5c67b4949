-- uses: guards
-- available, queued -> available, rung: choose the jobs whose bells are to be rung now.
--
-- ARGV: 2 lane, 3 most bells outstanding, 4 ms after which an unclaimed bell is rung again.
-- Returns job ids: those rung too long ago, then new ones, taken from the lane's queues in turn.
local QUEUES_SEEN = 100
local lane, want, again_ms = ARGV[2], math.min(tonumber(ARGV[3]), 200), tonumber(ARGV[4])
if stop_of(lane) then return {} end

local ringing = {}
local function ring_again()
  for _, id in ipairs(call('ZRANGEBYSCORE', K.rung .. lane, '-inf', now - again_ms, 'LIMIT', 0, want)) do
    local job = load(id)
    if stop_of(lane, job.b) then
      unring(job)
    else
      call('ZADD', K.rung .. lane, now, id)
      ringing[#ringing + 1] = id
    end
  end
end

local function to_the_back(batch)
  call('ZADD', K.queues .. lane, 'XX', call('HINCRBY', K.meta, 'served', 1), batch)
end

-- The queues that may be served, each with its room. Those passed over go to the back of the line as well,
-- so that a hundred stopped batches do not hide the next one.
local function open_queues()
  local open = {}
  for _, name in ipairs(call('ZRANGE', K.queues .. lane, 0, QUEUES_SEEN - 1)) do
    local batch = name ~= '-' and name or nil
    local room = batch and ramp_room('batch:' .. batch) or math.huge
    if room > 0 and not stop_of(lane, batch) then
      open[#open + 1] = { name = name, b = batch, room = room, taken = {} }
    else
      to_the_back(name)
    end
  end
  return open
end

local function take(queue, most)
  local ids = call('ZRANGE', K.queue .. lane .. ':' .. queue.name, 0, most - 1)
  for _, id in ipairs(ids) do
    ring({ id = id, l = lane, b = queue.b })
    queue.taken[#queue.taken + 1] = id
  end
  queue.room = queue.room - #ids
  return #ids
end

-- Who got less stands before who got more: where the room does not divide, the odd one is another's each time.
local function line_up(queues)
  local served = {}
  for nth, queue in ipairs(queues) do
    if #queue.taken > 0 then served[#served + 1] = { name = queue.name, taken = #queue.taken, nth = nth } end
  end
  table.sort(served, function(one, other)
    if one.taken ~= other.taken then return one.taken < other.taken end
    return one.nth < other.nth
  end)
  for _, queue in ipairs(served) do to_the_back(queue.name) end
end

-- One of each in turn: bells are answered in their order, and a whole share at a time would be felt as unfair.
local function interleave(queues)
  local nth, found = 0, true
  while found do
    nth, found = nth + 1, false
    for _, queue in ipairs(queues) do
      if queue.taken[nth] then
        ringing[#ringing + 1] = queue.taken[nth]
        found = true
      end
    end
  end
end

-- Equal shares first, then what is left over, until the room or the queues are used up.
local function take_in_turn(room)
  if room <= 0 then return end
  local open = open_queues()
  local queues = open
  while room > 0 and #queues > 0 do
    local share, still_open = math.ceil(room / #queues), {}
    for _, queue in ipairs(queues) do
      local most = math.min(share, queue.room, room)
      if most > 0 then
        local taken = take(queue, most)
        room = room - taken
        if taken == most and queue.room > 0 then still_open[#still_open + 1] = queue end
      end
    end
    queues = still_open
  end
  line_up(open)
  interleave(open)
end

ring_again()
take_in_turn(math.min(want - call('ZCARD', K.rung .. lane), ramp_room(lane)))
return ringing
