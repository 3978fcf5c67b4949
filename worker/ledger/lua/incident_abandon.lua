-- flags: allow-oom
-- uses: incidents
-- What a worker was telling is due now: its process is known to be gone. ARGV: 2 worker id. Returns how many.
local prefix, ended = ARGV[2] .. '.', 0
for _, sink in ipairs(call('SMEMBERS', K.alert_sinks)) do
  for _, member in ipairs(call('ZRANGE', K.alerts_due .. sink, 0, 499)) do
    local id, phase = string.match(member, '^(.+)|(%w+)$')
    local incident = load_incident(id)
    local telling = incident and load_telling(incident, phase, sink)
    if telling and string.sub(telling.token or '', 1, #prefix) == prefix then
      call('ZADD', K.alerts_due .. sink, 'LT', now, member)
      ended = ended + 1
    end
  end
end
return ended
