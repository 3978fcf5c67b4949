-- flags: allow-oom
-- uses: intake
-- running | sending | working -> the same, for longer: the heartbeat of jobs, deliveries and events.
--
-- ARGV: 2…: subject, token, lease ms each. Returns the subjects whose lease is lost.
local lost = {}

-- Return the subject's state and token, with the state in which it is leased and the index of its leases.
local function leased(subject)
  if string.find(subject, '.', 1, true) then
    local row = call('HMGET', K.delivery .. subject, 's', 'k')
    return row[1], row[2], 'sending', K.delivery_state .. 'sending'
  end
  local row = call('HMGET', K.job .. subject, 's', 'k')
  if row[1] then return row[1], row[2], 'running', K.state .. 'running' end
  local event = load_event(subject) or { o = '' }
  return event.s, event.l, 'working', index_of('working', event.o)
end

for at = 2, #ARGV, 3 do
  local subject, token, lease_ms = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local state, its_token, at_work, index = leased(subject)
  if state == at_work and its_token == token then
    call('ZADD', index, now + lease_ms, subject)
  else
    lost[#lost + 1] = subject
  end
end
return lost
