-- flags: allow-oom
-- uses: incidents
-- An incident is over, unless somebody saw it meanwhile. Whoever was told of its beginning is told.
-- ARGV: 2 incident, 3 when it was last seen, as the caller knows it. Returns 1, or 0 when it is not so.
local incident = load_incident(ARGV[2])
if not incident or incident.e or incident.ls ~= ARGV[3] then return 0 end
call('HSET', K.incident .. incident.id, 'e', now)
call('HDEL', K.incidents_open, key_of(incident))
for _, sink in ipairs(sinks_of(incident)) do tell_end(incident, sink) end
return 1
