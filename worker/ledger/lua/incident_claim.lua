-- flags: allow-oom
-- uses: incidents
-- Take what is due to be told to one sink, under a lease: the try is counted, and is due again when the lease is over.
-- ARGV: 2 sink, 3 token, 4 lease ms, 5 most. Returns for each {id, phase, tries, failures, the incident's hash}.
local due, claimed = K.alerts_due .. ARGV[2], {}
for _, member in ipairs(call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[5])) do
  local id, phase = string.match(member, '^(.+)|(%w+)$')
  local incident = load_incident(id)
  local telling = incident and load_telling(incident, phase, ARGV[2])
  if telling then
    telling.tries, telling.token = telling.tries + 1, ARGV[3]
    write_telling(incident, phase, ARGV[2], telling)
    call('ZADD', due, now + tonumber(ARGV[4]), member)
    claimed[#claimed + 1] = { id, phase, telling.tries, telling.failures, call('HGETALL', K.incident .. id) }
  else
    call('ZREM', due, member)
  end
end
return claimed
