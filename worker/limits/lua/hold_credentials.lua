-- Hold all calls: these credentials were refused. Returns 1 when the hold is new, 0 when it stood already.
--
-- ARGV  1 fingerprint of the credentials   2 the partner's code   3 now ('')

local fingerprint, code = ARGV[1], ARGV[2]

local wait = code == BLOCKED_CODE and TRY_AGAIN_BLOCKED or TRY_AGAIN
local is_new = state.cred_fingerprint and 0 or 1
redis.call('hset', key, 'cred_fingerprint', fingerprint, 'cred_code', code,
  'cred_since', state.cred_since or whole(now), 'probe:' .. fingerprint, whole(now + wait))
return is_new
