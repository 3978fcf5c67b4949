-- Take the next slot of the rate for one lane, or say how long to wait, or why everything is closed.
--
-- ARGV  1 lane: live | bulk   2 ceiling, calls/s   3 token of this asker
--       4 '1' for a token call: it passes the credentials hold, which only it can end   5 now ('')
-- Returns {'granted', slot us, now us, interval us, '1' when it is a probe of the breaker}
--      or {'wait', us}  or {'closed', reason, us}.

local lane, ceiling, token, is_token_call = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4] == '1'

local reason, closed_for = closed(is_token_call)
if reason then return {'closed', reason, whole(closed_for)} end

local interval = interval_at(ceiling * share_now())
-- No slot lies further ahead than one taken at the horizon under the slowest rate, and bulk's tenth after it.
local furthest = HORIZON + 3 * interval_at(ceiling * LEAST_SHARE)
local tat = field('tat')
if tat - now > furthest then tat = now + interval end
local slot = math.max(tat, now, believable('throttled_until', MOST_PAUSE))
local ahead = slot - now
local bulk_due = math.min(field('bulk_due'), now + BULK_SHARE * interval)

if lane == 'live' then
  if ahead > HORIZON then return {'wait', whole(ahead - HORIZON)} end
else
  -- A due tenth may reach one interval further than live does, or a flood of live would always be first.
  local lead, reach = math.min(BULK_LEAD, interval / 2), HORIZON + interval
  local is_due = now >= bulk_due and ahead <= reach
  if ahead > lead and not is_due then
    return {'wait', whole(math.min(ahead - lead, math.max(bulk_due - now, ahead - reach)))}
  end
end

local writes = {'tat', whole(slot + interval), 'last', token, 'last_slot', whole(slot),
  'last_bulk_due', whole(bulk_due), 'taken_' .. lane, whole(field('taken_' .. lane) + 1)}
local function write(name, value)
  writes[#writes + 1] = name
  writes[#writes + 1] = value
end

if lane == 'bulk' then
  -- An asker that comes up to one interval late loses nothing of the tenth; idle time earns no burst.
  write('bulk_due', whole(math.min(math.max(bulk_due, now - interval), now) + BULK_SHARE * interval))
end

local is_probe = '0'
if breaker_now() == 'half_open' then
  is_probe = '1'
  write('probe_at', whole(now))
  if state.breaker == 'open' then
    write('breaker', 'half_open')
    write('half_since', whole(now))
    write('probe_stage', '1')
    write('probes_good', '0')
    write('probes_left', '0')
  else
    local left = field('probes_left')
    if left <= 0 then left = field('probe_stage') - field('probes_good') end
    write('probes_left', whole(left - 1))
  end
end

redis.call('hset', key, unpack(writes))
return {'granted', whole(slot), whole(now), whole(interval), is_probe}
