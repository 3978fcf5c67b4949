-- flags: no-writes
-- Say where the jobs stand that ran, or were in doubt, when their batch was cancelled.
-- ARGV: 2 batch. Returns a flat list: state, how many, …
local by_state, reply = {}, {}
for _, id in ipairs(call('SMEMBERS', K.batch_spared .. ARGV[2])) do
  local state = call('HGET', K.job .. id, 's')
  if state then by_state[state] = (by_state[state] or 0) + 1 end
end
for state, n in pairs(by_state) do
  reply[#reply + 1] = state
  reply[#reply + 1] = n
end
return reply
