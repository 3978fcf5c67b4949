-- flags: allow-oom
-- running | sending -> the same, for longer: the heartbeat of jobs and deliveries.
--
-- ARGV: 2…: subject, token, lease ms each. Returns the subjects whose lease is lost.
local lost = {}
for at = 2, #ARGV, 3 do
  local subject, token, lease_ms = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local is_delivery = string.find(subject, '.', 1, true)
  local row = call('HMGET', (is_delivery and K.delivery or K.job) .. subject, 's', 'k')
  local state = is_delivery and 'sending' or 'running'
  if row[1] == state and row[2] == token then
    call('ZADD', (is_delivery and K.delivery_state or K.state) .. state, now + lease_ms, subject)
  else
    lost[#lost + 1] = subject
  end
end
return lost
