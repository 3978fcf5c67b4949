-- Take the fleet's right to fetch a token. Returns 1, or 0 while somebody else holds it.
--
-- KEYS  1 {<namespace>}:limit:<name>:token_lock  hash: holder, until us
-- ARGV  1 holder   2 ttl us   3 now in us, from tests only ('' means the server's TIME)

local lock_key, holder, ttl, given = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]

local time = redis.call('time')
local now = given ~= '' and tonumber(given) or tonumber(time[1]) * 1000000 + tonumber(time[2])
local kept = redis.call('hmget', lock_key, 'holder', 'until', 'ttl')
local left = (tonumber(kept[2] or '0') or 0) - now
-- More left than was ever granted: the clock stepped back, and the lock is worth nothing.
local is_over = left <= 0 or left > (tonumber(kept[3] or '0') or 0)
if kept[1] and kept[1] ~= holder and not is_over then return 0 end
redis.call('hset', lock_key, 'holder', holder, 'until', string.format('%.0f', now + ttl), 'ttl', ARGV[2])
return 1
