-- Give the right to fetch a token back, if it is still this holder's. Returns 1 when it was.
--
-- KEYS  1 {<namespace>}:limit:<name>:token_lock  hash   ARGV  1 holder

if redis.call('hget', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
