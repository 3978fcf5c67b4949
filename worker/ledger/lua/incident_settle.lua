-- flags: allow-oom
-- uses: incidents
-- What a try to tell came to, for the lease holder only: told, to be told again later, or given up.
--
-- ARGV: 2 incident, 3 phase, 4 sink, 5 token, 6 fault or '' (told), 7 HTTP status or '',
--   8 ms until the next try ('' after a fault: that was the last one).
-- Returns 1, or 0 when the lease was lost.
local incident, phase, sink = load_incident(ARGV[2]), ARGV[3], ARGV[4]
local telling = incident and load_telling(incident, phase, sink)
if not telling or telling.token ~= ARGV[5] then return 0 end
local due, member = K.alerts_due .. sink, ARGV[2] .. '|' .. phase
telling.token, telling.fault, telling.status, telling.at = '', ARGV[6], ARGV[7], string.format('%.0f', now)
if ARGV[6] == '' then
  telling.state = 'told'
else
  telling.failures = telling.failures + 1
  if ARGV[8] == '' then telling.state = 'failed' end
end
write_telling(incident, phase, sink, telling)
if telling.state == 'waiting' then
  call('ZADD', due, now + tonumber(ARGV[8]), member)
else
  call('ZREM', due, member)
end
if phase == 'opened' and incident.e then tell_end(incident, sink) end
return 1
