-- flags: allow-oom
-- Take or keep a duty that only one process does at a time. ARGV: 2 duty, 3 worker, 4 ms. Returns 1 when it is ours.
local key = K.duty .. ARGV[2]
local held = call('HMGET', key, 'by', 'until')
if held[1] and held[1] ~= ARGV[3] and tonumber(held[2]) > now then return 0 end
call('HSET', key, 'by', ARGV[3], 'until', now + tonumber(ARGV[4]))
return 1
