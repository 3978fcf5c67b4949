-- flags: no-writes
-- uses: guards
-- What a look at the ledger sees, at one instant; all of it counts, none of it jobs one by one.
--
-- ARGV: 2 ms of `recent`, 3 of the hour, 4 of the day before, 5 of messages; 6 channels ('a,b');
--   7… windows: state, from ms, before ms.
-- Returns {now, lanes, reasons, channels, windows}.
local QUEUES_SEEN, REASONS_SEEN, MESSAGES_SEEN, PUT_OFF_SEEN = 300, 300, 500, 20
local recent, hour, day, spell = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local function ms(value) return string.format('%.0f', value) end

-- Jobs that wait though nothing keeps them, and how long the oldest of them has.
local function lane_of(lane)
  local free, oldest = 0, nil
  local function look(key)
    local head = call('ZRANGE', key, 0, 0)
    local times = head[1] and call('HMGET', K.job .. head[1], 'd', 't')
    local since = times and tonumber(times[1] or times[2])
    if since and since < (oldest or math.huge) then oldest = since end
    free = free + call('ZCARD', key)
  end
  if not stop_of(lane) then
    look(K.rung .. lane)
    for _, queue in ipairs(call('ZRANGE', K.queues .. lane, 0, QUEUES_SEEN - 1)) do
      if queue == '-' or not stop_of(lane, queue) then look(K.queue .. lane .. ':' .. queue) end
    end
  end
  local waiting = call('HGET', K.tally .. lane, 'available') or 0
  return { lane, free, oldest and ms(now - oldest) or '', waiting, call('SISMEMBER', K.pauses, lane) }
end

local function reasons()
  local found = {}
  for at, reason in ipairs(call('HKEYS', K.reasons)) do
    if at > REASONS_SEEN then break end
    local key = K.failed .. reason
    found[#found + 1] = {
      reason, call('ZCOUNT', key, ms(now - recent), '+inf'), call('ZCOUNT', key, ms(now - hour), '+inf'),
      call('ZCOUNT', key, ms(now - recent - day), '(' .. ms(now - recent)), call('ZCARD', key),
    }
  end
  return found
end

-- How many of the last messages in *state* went by *channel*, and when the last of them did.
local function ended(state, channel)
  local rows = call('ZREVRANGEBYSCORE', K.delivery_state .. state, '+inf', ms(now - spell), 'WITHSCORES', 'LIMIT', 0, MESSAGES_SEEN)
  local count, last = 0, ''
  for at = 1, #rows, 2 do
    if string.find(rows[at], '.' .. channel .. '.', 1, true) then
      if count == 0 then last = rows[at + 1] end
      count = count + 1
    end
  end
  return count, last
end

-- Those due, and those put off for a reason that is not the recipient's own, nor the send window's.
local function waiting_by(channel)
  local outgoing = K.outgoing .. channel
  local count, fault = call('ZCOUNT', outgoing, '-inf', now) + call('ZCARD', K.rung .. channel), ''
  for _, id in ipairs(call('ZRANGEBYSCORE', outgoing, '(' .. ms(now), '+inf', 'LIMIT', 0, PUT_OFF_SEEN)) do
    local why = call('HMGET', K.delivery .. id, 'r', 'rc', 'h')
    if why[1] and why[2] ~= 'recipient' and not why[3] then
      count = count + 1
      fault = why[1]
    end
  end
  if call('SISMEMBER', K.pauses, 'channel:' .. channel) == 1 then fault = 'paused' end
  return count, fault
end

local lanes, channels, windows = {}, {}, {}
for _, lane in ipairs({ 'live', 'bulk' }) do lanes[#lanes + 1] = lane_of(lane) end
for channel in string.gmatch(ARGV[6], '[^,]+') do
  local waiting, fault = waiting_by(channel)
  local sent, last = ended('sent', channel)
  channels[#channels + 1] = { channel, waiting, fault, sent, (ended('failed', channel)), last }
end
for at = 7, #ARGV, 3 do
  windows[#windows + 1] = call('ZCOUNT', K.state .. ARGV[at], ARGV[at + 1], '(' .. ARGV[at + 2])
end
return { ms(now), lanes, reasons(), channels, windows }
