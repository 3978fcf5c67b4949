-- flags: no-writes
-- Check the books: the tallies against the indexes, and for a sample of each index that the jobs say the same state.
-- ARGV: 2 sample per index. Returns a list of what is wrong, a line each.
local wrong = {}
local function check(id, state, index)
  local stands = call('HGET', K.job .. id, 's')
  if stands ~= state then wrong[#wrong + 1] = index .. ': ' .. id .. ' says ' .. (stands or 'nothing') end
end

local totals = {}
for _, lane in ipairs({ 'live', 'bulk' }) do
  local tally = read(K.tally .. lane, lane) or {}
  local rung, available = call('ZCARD', K.rung .. lane), 0
  for _, queue in ipairs(call('ZRANGE', K.queues .. lane, 0, -1)) do
    available = available + call('ZCARD', K.queue .. lane .. ':' .. queue)
    for _, id in ipairs(call('ZRANGE', K.queue .. lane .. ':' .. queue, 0, ARGV[2])) do check(id, 'available', 'queue') end
  end
  for _, id in ipairs(call('ZRANGE', K.rung .. lane, 0, ARGV[2])) do check(id, 'available', 'rung') end
  if tonumber(tally.rung or 0) ~= rung then wrong[#wrong + 1] = lane .. ': rung is tallied otherwise' end
  if tonumber(tally.available or 0) ~= available + rung then
    wrong[#wrong + 1] = lane .. ': available is tallied otherwise'
  end
  for field, n in pairs(tally) do totals[field] = (totals[field] or 0) + (tonumber(n) or 0) end
end
for _, states in ipairs({ OPEN, ENDED }) do
  for state in pairs(states) do
    if state ~= 'available' then
      if (totals[state] or 0) ~= call('ZCARD', K.state .. state) then
        wrong[#wrong + 1] = state .. ' is tallied otherwise'
      end
      for _, id in ipairs(call('ZREVRANGE', K.state .. state, 0, ARGV[2])) do check(id, state, state) end
    end
  end
end
for _, id in ipairs(call('ZREVRANGE', K.requeued_failed, 0, ARGV[2])) do check(id, 'failed', 'failed again') end

for _, channel in ipairs({ 'email', 'sms', 'webhook' }) do
  for _, kind in ipairs({ 'live', 'others' }) do
    for _, id in ipairs(call('ZRANGE', K.put_off .. channel .. ':' .. kind, 0, ARGV[2])) do
      local row = call('HMGET', K.delivery .. id, 's', 'h')
      if row[1] ~= 'pending' or row[2] ~= 'window' then
        wrong[#wrong + 1] = 'waiting for the send window: ' .. id .. ' is listed wrongly'
      end
    end
  end
end

local listed = 0
for _, reason in ipairs(call('HKEYS', K.delivery_reasons)) do
  listed = listed + call('ZCARD', K.delivery_failed .. reason)
  for _, id in ipairs(call('ZREVRANGE', K.delivery_failed .. reason, 0, ARGV[2])) do
    local row = call('HMGET', K.delivery .. id, 's', 'r')
    if row[1] ~= 'failed' or row[2] ~= reason then wrong[#wrong + 1] = 'failed messages: ' .. id .. ' is listed wrongly' end
  end
end
if listed ~= call('ZCARD', K.delivery_state .. 'failed') then
  wrong[#wrong + 1] = 'failed messages are listed by reason otherwise'
end
return wrong
