-- flags: allow-oom
-- uses: users trail
-- Give a user another role and end his sessions, at once. ARGV: 2 name, 3 role, 4 by. Returns how many sessions ended,
-- -1 where there is no such user, -2 where he has that role already.
local name, key = ARGV[2], K.user .. ARGV[2]
local before = call('HGET', key, 'r')
if not before then return -1 end
if before == ARGV[3] then return -2 end
call('HSET', key, 'r', ARGV[3], 'c', now)
local ended = end_sessions(name)
account('user_role', ARGV[4], '', name, 'before', before, 'after', ARGV[3])
return ended
