-- Say how the limit stands now; writes nothing. ARGV  1 ceiling, calls/s   2 now ('')
--
-- Returns {now us, share in ppm, breaker, its end us or 0, operator's pause us, -1 or 0, partner's pause us
-- or 0, credentials code or '', next try us or 0, us until the next slot, taken live, taken bulk, since when there is a
-- breaker that is not closed, an operator's pause, a partner's pause, a credentials hold: us or 0 each}.

local function ahead(at) return at > now and whole(at) or '0' end

local function since(name, is_so) return whole(is_so and field(name) or 0) end

local paused_until = field('paused_until')
local throttled = believable('throttled_until', MOST_PAUSE)
local breaker = breaker_now()
local next_try = state.cred_fingerprint and believable('probe:' .. state.cred_fingerprint, TRY_AGAIN_BLOCKED) or 0
return {whole(now), whole(share_now() * 1000000),
  breaker, breaker == 'open' and whole(field('open_until')) or '0',
  paused_until == -1 and '-1' or ahead(paused_until), ahead(throttled),
  state.cred_code or '', ahead(next_try),
  whole(math.max(0, math.max(field('tat'), throttled) - now)),
  whole(field('taken_live')), whole(field('taken_bulk')),
  since('broke_at', breaker ~= 'closed'), since('paused_at', paused_until == -1 or paused_until > now),
  since('throttled_at', throttled > now), since('cred_since', state.cred_fingerprint)}
