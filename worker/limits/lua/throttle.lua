-- The partner asked for less: pause the fleet and, on pushback, cut the share (at most once each 10 s).
--
-- ARGV  1 pause us   2 '1' on pushback (a refused call), '0' for a quota that a good answer calls used up
--       3 now ('')
-- Returns {end of the pause us, share in ppm, '1' when it was cut}.

local pause, is_pushback = math.min(tonumber(ARGV[1]), MOST_PAUSE), ARGV[2] == '1'

local ends = math.max(believable('throttled_until', MOST_PAUSE), now + pause)
local share, was_cut = share_now(), '0'
redis.call('hset', key, 'throttled_until', whole(ends),
  'throttled_at', whole(field('throttled_until') > now and field('throttled_at') or now))
if is_pushback then
  local since_cut = now - field('cut_at')
  if since_cut >= CLEAN_PERIOD or since_cut < 0 then
    share, was_cut = math.max(LEAST_SHARE, share / 2), '1'
    redis.call('hset', key, 'cut_at', whole(now))
  end
  -- A period is clean when calls went through it: a pause earns nothing.
  redis.call('hset', key, 'share', string.format('%.6f', share), 'clean_since', whole(ends))
end
return {whole(ends), whole(share * 1000000), was_cut}
