-- flags: allow-oom
-- uses: users trail
-- Give a user another password and end his sessions, at once. ARGV: 2 name, 3 hash, 4 by, 5 a session to keep or ''.
-- Returns how many sessions ended, or -1 where there is no such user.
local name, key = ARGV[2], K.user .. ARGV[2]
if call('EXISTS', key) == 0 then return -1 end
call('HSET', key, 'p', ARGV[3], 'c', now)
local ended = end_sessions(name, ARGV[5])
account('user_password', ARGV[4], '', name, 'sessions_ended', ended)
return ended
