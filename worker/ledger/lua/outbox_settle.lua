-- flags: allow-oom
-- uses: outbox
-- sending -> told (deleted) | waiting | failed, for the lease holder only; the sink's standing follows.
--
-- ARGV: 2 event, 3 token, 4 ending: 'told', 'never', 'again', 'busy' or 'gone'; 5 fault or '', 6 HTTP status or '',
--   7 ms until the next try ('again': '' makes this the last one).
-- Returns {1, state}, or {0} when the lease was lost: it may be told once more then.
local event, ending = told_by(ARGV[2], ARGV[3]), ARGV[4]
if not event then return { 0 } end
local sink, fault, status, delay = load_sink(event.k), ARGV[5], ARGV[6], tonumber(ARGV[7])
local key = K.sink .. event.k

local function keep_among_the_told()
  local list = K.outbox_told .. event.k
  local row = { event.id, event.y, event.j, event.t, string.format('%.0f', now), event.a, event.f or '0', status }
  call('LPUSH', list, table.concat(row, US))
  call('LTRIM', list, 0, LAST_TOLD - 1)
end

local function stand_still(...) call('HSET', key, 'r', fault, 'hs', status, ...) end

local function lengthen_streak()
  if sink.ds and now < sink.pa then return end -- it was on its way already when the sink went down
  local streak = (sink.streak or 0) + 1
  call('HSET', key, 'streak', streak)
  if streak < DOWN_AFTER then return end
  local wait = math.min(PROBE_MS * 2 ^ math.min(streak - DOWN_AFTER, 10), LONGEST_PROBE_MS)
  stand_still('ds', sink.ds or now, 'pa', now + wait)
end

if ending == 'told' then
  lift_down(sink)
  call('HINCRBY', key, 'told', 1)
  forget(event)
  keep_among_the_told()
  return { 1, 'told' }
end
if ending == 'never' then
  forget(event)
  return { 1, 'dropped' }
end

call('HSET', K.outbox .. event.id, 'r', fault, 'hs', status)
if ending == 'gone' then
  stand_still('g', now)
  put_back(event, now)
elseif ending == 'busy' then
  stand_still('u', now + delay)
  put_back(event, now + delay)
else
  lengthen_streak()
  call('HINCRBY', K.outbox .. event.id, 'f', 1)
  if delay then
    put_back(event, now + delay)
  else
    put_back(event, now)
    call('ZREM', K.outbox_due .. event.k, event.id)
    call('ZADD', K.outbox_failed .. event.k, now, event.id)
    return { 1, 'failed' }
  end
end
return { 1, 'waiting' }
