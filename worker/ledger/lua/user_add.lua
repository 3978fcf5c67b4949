-- uses: trail
-- Add a user of the console. Returns 1, or 0 where one of that name is known. ARGV: 2 name, 3 role, 4 password's hash,
-- 5 by.
local name, key = ARGV[2], K.user .. ARGV[2]
if call('EXISTS', key) == 1 then return 0 end
call('HSET', key, 'r', ARGV[3], 'p', ARGV[4], 't', now, 'b', ARGV[5], 'c', now)
call('ZADD', K.users, now, name)
account('user_add', ARGV[5], '', name, 'role', ARGV[3])
return 1
