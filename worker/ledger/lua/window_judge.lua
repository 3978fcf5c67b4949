-- flags: allow-oom
-- uses: endings sending window
-- pending -> pending: messages that wait for a window as it was go by it as it is. What need not wait is due now; what
-- was put off to another time than the next opening is put off to that; what has come due waits for its turn alone.
-- ARGV: 2 channel, 3 closed times, 4 most rows of each kind (live, others). Returns how many were changed.
local times, changed = read_times(ARGV[3]), 0
if times and (now < times.from or now >= times.until_) then return 0 end

local function let_go(delivery)
  if tonumber(delivery.d) > now then move_delivery(delivery, 'pending', now) else stop_waiting(delivery) end
end

for _, kind in ipairs({ 'live', 'others' }) do
  local waiting, until_ = K.put_off .. ARGV[2] .. ':' .. kind, opens_at(times)
  if until_ and kind == 'live' and times.is_live_exempt then until_ = nil end
  local ids
  if until_ then
    ids = call('ZRANGEBYSCORE', waiting, '-inf', '(' .. until_, 'LIMIT', 0, ARGV[4])
    if #ids == 0 then ids = call('ZRANGEBYSCORE', waiting, '(' .. until_, '+inf', 'LIMIT', 0, ARGV[4]) end
  else
    ids = call('ZRANGE', waiting, 0, ARGV[4] - 1)
  end
  for _, id in ipairs(ids) do
    local delivery = load_delivery(id)
    if until_ then put_off(delivery, until_) else let_go(delivery) end
  end
  changed = changed + #ids
end
return changed
