-- flags: no-writes
-- uses: guards
-- How the lanes stand. Returns per lane: name, available, ms of the oldest waiting job or '', paused, hold reason or ''.
local QUEUES_SEEN = 500
local reply = {}
for _, lane in ipairs({ 'live', 'bulk' }) do
  local oldest
  local function look(key)
    local head = call('ZRANGE', key, 0, 0)
    local times = head[1] and call('HMGET', K.job .. head[1], 'd', 't')
    local since = times and tonumber(times[1] or times[2])
    if since and since < (oldest or math.huge) then oldest = since end
  end
  look(K.rung .. lane)
  for _, queue in ipairs(call('ZRANGE', K.queues .. lane, 0, QUEUES_SEEN - 1)) do
    look(K.queue .. lane .. ':' .. queue)
  end
  local waiting = tonumber(call('HGET', K.tally .. lane, 'available') or 0)
  local paused = call('SISMEMBER', K.pauses, lane)
  for _, value in ipairs({ lane, waiting, oldest and string.format('%.0f', now - oldest) or '', paused, hold_reason(lane) or '' }) do
    reply[#reply + 1] = value
  end
end
return reply
