-- flags: no-writes
-- Count everything at one instant. Returns {'state', n, …, 'accepted', n, 'pruned', n}.
local reply = {}
local function add(name, n)
  reply[#reply + 1] = name
  reply[#reply + 1] = tonumber(n or 0)
end
local available = 0
for _, lane in ipairs({ 'live', 'bulk' }) do
  available = available + (call('HGET', K.tally .. lane, 'available') or 0)
end
add('available', available)
for _, states in ipairs({ OPEN, ENDED }) do
  for state in pairs(states) do
    if state ~= 'available' then add(state, call('ZCARD', K.state .. state)) end
  end
end
add('accepted', call('HGET', K.meta, 'accepted'))
add('pruned', call('HGET', K.meta, 'pruned'))
return reply
