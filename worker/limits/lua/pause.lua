-- The operator's pause of all calls. ARGV  1 us, or -1 until he resumes   2 now ('')

local lasts = tonumber(ARGV[1])
local is_paused = field('paused_until') == -1 or field('paused_until') > now
redis.call('hset', key, 'paused_until', lasts < 0 and '-1' or whole(now + lasts),
  'paused_at', whole(is_paused and field('paused_at') or now))
return 1
