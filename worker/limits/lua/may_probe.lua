-- Whether these credentials may be tried now. During a hold a yes counts as the try itself, so that one
-- process of the fleet makes it. Credentials not tried in this hold (changed settings) may be at once.
--
-- ARGV  1 fingerprint of the credentials   2 now ('')

local mark = 'probe:' .. ARGV[1]

if not state.cred_fingerprint then return 1 end
if state[mark] and now < believable(mark, TRY_AGAIN_BLOCKED) then return 0 end
local wait = state.cred_code == BLOCKED_CODE and TRY_AGAIN_BLOCKED or TRY_AGAIN
redis.call('hset', key, mark, whole(now + wait))
return 1
