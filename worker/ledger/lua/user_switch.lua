-- flags: allow-oom
-- uses: users trail
-- Disable a user, which ends his sessions at once, or enable him again. ARGV: 2 name, 3 '1' to enable, 4 by. Returns how
-- many sessions ended, -1 where there is no such user, -2 where he is so already.
local name, key, is_enable = ARGV[2], K.user .. ARGV[2], ARGV[3] == '1'
if call('EXISTS', key) == 0 then return -1 end
if (call('HEXISTS', key, 'd') == 0) == is_enable then return -2 end
local ended = 0
if is_enable then
  call('HDEL', key, 'd')
else
  call('HSET', key, 'd', now)
  ended = end_sessions(name)
end
call('HSET', key, 'c', now)
account(is_enable and 'user_enable' or 'user_disable', ARGV[4], '', name, 'sessions_ended', ended)
return ended
