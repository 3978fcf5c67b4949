-- Forget the shared token, if it is still the one that was refused. Returns 1 when it was.
--
-- KEYS  1 {<namespace>}:limit:<name>:token  string "<expires ms> <value>"   ARGV  1 the refused value

local kept = redis.call('get', KEYS[1])
if not kept or string.match(kept, '^%d+ (.*)$') ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
