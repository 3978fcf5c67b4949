-- flags: allow-oom
-- Keep what one look leaves to the next, unless another process looked meanwhile.
-- ARGV: 2 number of the memory it began with, 3 the memory as JSON. Returns 1, or 0.
local key = K.incident_memory
if (call('HGET', key, 'n') or '0') ~= ARGV[2] then return 0 end
call('HSET', key, 'n', ARGV[2] + 1, 'doc', ARGV[3])
return 1
