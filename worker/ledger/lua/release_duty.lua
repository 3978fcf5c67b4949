-- flags: allow-oom
-- Let a duty go, if it is ours. ARGV: 2 duty, 3 worker.
local key = K.duty .. ARGV[2]
if call('HGET', key, 'by') ~= ARGV[3] then return 0 end
return call('DEL', key)
