-- Count how one call ended, and trip, probe or close the breaker.
--
-- ARGV  1 '1' when the partner answered in its own terms   2 elapsed us   3 chance in [0, 1)   4 now ('')
-- Returns {} or, when the breaker changed, {old, new, us for which it stays open}.

local is_ok, elapsed, chance = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])

local function open(from, opens)
  local lasts = math.min(MOST_BREAK, BREAK * 2 ^ math.min(opens - 1, 10)) * (1 + BREAK_JITTER * chance)
  redis.call('hset', key, 'breaker', 'open', 'open_until', whole(now + lasts), 'opens', whole(opens),
    'broke_at', whole(from == 'closed' and now or field('broke_at')))
  for i = 0, BUCKETS - 1 do redis.call('hdel', key, 'b' .. i) end
  return {from, 'open', whole(lasts)}
end

local function count_probe()
  -- A call from before the probes tells of the past. (10 ms: a call may begin a moment before its slot.)
  if now - elapsed < field('half_since') - 10000 then return {} end
  if not is_ok then return open('half_open', field('opens') + 1) end
  local good = field('probes_good') + 1
  if good < field('probe_stage') then
    redis.call('hset', key, 'probes_good', whole(good))
    return {}
  end
  if field('probe_stage') < PROBES then
    redis.call('hset', key, 'probe_stage', PROBES, 'probes_good', '0', 'probes_left', PROBES)
    return {}
  end
  redis.call('hset', key, 'breaker', 'closed', 'opens', '0')
  return {'half_open', 'closed', '0'}
end

local function bucket(i)
  local epoch, calls, failed, slow = string.match(state['b' .. i] or '', '^(%d+) (%d+) (%d+) (%d+)$')
  return tonumber(epoch or '-1'), tonumber(calls or '0'), tonumber(failed or '0'), tonumber(slow or '0')
end

local function count_call()
  local this = math.floor(now / BUCKET)
  local calls, failed, slow = 1, is_ok and 0 or 1, elapsed > SLOW_CALL and 1 or 0
  local here_calls, here_failed, here_slow = calls, failed, slow
  for i = 0, BUCKETS - 1 do
    local epoch, c, f, s = bucket(i)
    if epoch > this - BUCKETS and epoch <= this then
      calls, failed, slow = calls + c, failed + f, slow + s
      if epoch == this then here_calls, here_failed, here_slow = here_calls + c, here_failed + f, here_slow + s end
    end
  end
  if calls >= LEAST_CALLS and (failed >= FAILED_TRIP * calls or slow >= SLOW_TRIP * calls) then
    return open('closed', 1)
  end
  redis.call('hset', key, 'b' .. (this % BUCKETS), string.format('%.0f %d %d %d', this, here_calls, here_failed, here_slow))
  return {}
end

if state.breaker == 'half_open' then return count_probe() end
-- Calls that were under way when the breaker opened say nothing new.
if state.breaker == 'open' then return {} end
return count_call()
