-- Shared by every script of a limit; put in front of each of them when they are loaded.
--
-- KEYS[1]  {<namespace>}:limit:<name>  hash: all that the fleet knows about one limit. Its fields:
--   tat              us    when the slot after the newest one begins
--   bulk_due         us    from when on bulk may claim its guaranteed tenth
--   last             text  token of the newest slot; last_slot, last_bulk_due: what giving it back restores
--   taken_live, taken_bulk count of slots taken, for the metrics
--   share            0..1  of the ceiling that was left after the newest pushback; absent: all of it
--   clean_since      us    from when on clean periods count (may lie ahead: the end of a pause)
--   cut_at           us    the newest cut of the share
--   throttled_until  us    the partner's pause
--   paused_until     us    the operator's pause; -1: until he resumes
--   paused_at, throttled_at, broke_at  us  since when, for who looks: the present row of pauses and breaks began
--   breaker          closed | open | half_open; absent: closed
--   open_until       us    end of the break; opens: breaks in a row, for the doubling
--   probe_stage      1 | 5 probes of this half-open stage; probes_left, probes_good of them
--   probe_at         us    the newest probe; half_since: when half-open began
--   b0 .. b11        "<epoch> <calls> <failed> <slow>": the breaker's window in buckets of 5 s
--   cred_fingerprint, cred_code, cred_since  the credentials that were refused, the code, us
--   probe:<fingerprint>  us  when these credentials may be tried next
-- ARGV[#ARGV]  the present in microseconds, from tests only; '' means the server's TIME.
--
-- All times are microseconds since 1970: whole numbers below 2^53, so doubles hold them exactly.

local SECOND = 1000000
local HORIZON = SECOND             -- how far ahead a slot may be taken
local BULK_LEAD = 20000            -- bulk waits outside the sequence, so that live never queues behind it
local BULK_SHARE = 10              -- one slot in so many is bulk's, whatever live asks for
local HEADROOM = 0.995             -- of the rate: the partner's clock and ours need not agree to the permille
local CLEAN_PERIOD = 10 * SECOND   -- one step up for each; also the least time between two cuts
local STEP_UP = 0.05               -- of the ceiling
local LEAST_SHARE = 0.02           -- of the ceiling: slow-down never becomes a stop, pauses are for that
local MOST_PAUSE = 3600 * SECOND   -- a partner's pause is capped here (it might be hostile or absurd)
local BUCKET, BUCKETS = 5 * SECOND, 12
local LEAST_CALLS, FAILED_TRIP, SLOW_TRIP = 20, 0.5, 0.8
local SLOW_CALL = 5 * SECOND
local BREAK, MOST_BREAK, BREAK_JITTER = 15 * SECOND, 300 * SECOND, 0.2
local PROBES = 5                   -- of the second half-open stage; the first has one
local PROBE_PATIENCE = 60 * SECOND -- a probe not heard of for so long died with its process
local TRY_AGAIN, TRY_AGAIN_BLOCKED = 300 * SECOND, 900 * SECOND
local BLOCKED_CODE = '3'           -- the token call's "too many wrong tries, address blocked"

local function whole(number) return string.format('%.0f', number) end

local function present()
  local given = ARGV[#ARGV]
  if given ~= '' then return tonumber(given) end
  local time = redis.call('time')
  return tonumber(time[1]) * SECOND + tonumber(time[2])
end

local key = KEYS[1]
local now = present()
local state = {}
do
  local flat = redis.call('hgetall', key)
  for i = 1, #flat, 2 do state[flat[i]] = flat[i + 1] end
end

local function field(name) return tonumber(state[name] or '0') or 0 end

-- A time further ahead than it can ever be set was written before the clock stepped back (a failover, an
-- NTP step): it counts as over, or the fleet would stand still until the clock has caught up.
local function believable(name, most)
  local at = field(name)
  if at - now > most then return now end
  return at
end

local function share_now()
  local kept = tonumber(state.share or '1') or 1
  local since = believable('clean_since', MOST_PAUSE + CLEAN_PERIOD)
  local steps = math.max(0, math.floor((now - since) / CLEAN_PERIOD))
  return math.min(1, kept + STEP_UP * steps)
end

local function interval_at(rate) return math.max(1, math.floor(SECOND / (HEADROOM * rate) + 0.5)) end

local function breaker_now()
  if state.breaker == 'open' and believable('open_until', 2 * MOST_BREAK) <= now then return 'half_open' end
  return state.breaker or 'closed'
end

local function half_open_is_full()
  return state.breaker == 'half_open' and field('probes_left') <= 0 and now - field('probe_at') < PROBE_PATIENCE
    and now >= field('probe_at')
end

-- Return why no call may be made now and for how many us, or nil.
local function closed(is_token_call)
  local paused_until = field('paused_until')
  if paused_until == -1 then return 'paused', HORIZON end
  if paused_until > now then return 'paused', paused_until - now end
  local throttled = believable('throttled_until', MOST_PAUSE) - now
  if throttled > HORIZON then return 'partner_throttled', throttled end
  if state.cred_fingerprint and not is_token_call then
    local next_try = believable('probe:' .. state.cred_fingerprint, TRY_AGAIN_BLOCKED)
    return 'credentials_held', math.max(HORIZON, next_try - now)
  end
  if breaker_now() == 'open' then return 'breaker_open', field('open_until') - now end
  if half_open_is_full() then return 'breaker_open', HORIZON end
  return nil
end
