-- flags: allow-oom
-- uses: incidents
-- Delete incidents that were opened before a time and have ended. ARGV: 2 ms, 3 most looked at, 4 how many to skip.
-- Returns {deleted, kept}.
local pruned, kept = 0, 0
for _, id in ipairs(call('ZRANGEBYSCORE', K.incidents, '-inf', '(' .. ARGV[2], 'LIMIT', ARGV[4], ARGV[3])) do
  local incident = load_incident(id)
  if incident and not incident.e then
    kept = kept + 1
  else
    for _, sink in ipairs(incident and sinks_of(incident) or {}) do
      call('ZREM', K.alerts_due .. sink, id .. '|opened', id .. '|ended')
    end
    call('DEL', K.incident .. id)
    call('ZREM', K.incidents, id)
    pruned = pruned + 1
  end
end
return { pruned, kept }
