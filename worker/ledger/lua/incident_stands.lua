-- flags: allow-oom
-- uses: incidents
-- A trouble stands: its incident is opened, unless one of that kind and scope is open, which is seen once more then.
--
-- ARGV: 2 kind, 3 scope, 4 id of a new one, 5 began at ms, 6 count, 7 params as JSON, 8… sinks that are to be told.
-- Returns {id, 1 if it was opened now}.
local key = ARGV[2] .. ' ' .. ARGV[3]
local id = call('HGET', K.incidents_open, key)
local incident = id and load_incident(id)
local is_new = not incident
if is_new then
  id = ARGV[4]
  incident = { id = id, k = ARGV[2], sc = ARGV[3], p = '0' }
  call('HSET', K.incident .. id, 'k', ARGV[2], 'sc', ARGV[3], 'b', ARGV[5], 'o', now)
  call('HSET', K.incidents_open, key, id)
  call('ZADD', K.incidents, now, id)
end
local count = tonumber(ARGV[6])
call('HSET', K.incident .. id, 'ls', now, 'n', count, 'p', math.max(count, tonumber(incident.p)), 'ph', ARGV[7])
for at = 8, #ARGV do tell(incident, 'opened', ARGV[at]) end
return { id, is_new and 1 or 0 }
