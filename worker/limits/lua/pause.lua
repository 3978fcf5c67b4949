-- The operator's pause of all calls. ARGV  1 us, or -1 until he resumes   2 now ('')

local lasts = tonumber(ARGV[1])
redis.call('hset', key, 'paused_until', lasts < 0 and '-1' or whole(now + lasts))
return 1
