-- flags: allow-oom
-- uses: intake
-- working -> waiting, for leases that ran out; -> failed after five starts without an end.
-- ARGV: 2 most rows. Returns how many were taken back.
local CRASHES = 5
local left, rescued = tonumber(ARGV[2]), 0

local function take_back(event)
  if number_in(event, 'n') >= CRASHES then
    drop(event, 'n')
    put(event, 'r', 'crashed_five_times')
    move_event(event, 'failed')
  else
    -- As received: it was the oldest, and is again.
    move_event(event, 'waiting', tonumber(event.t) or now)
  end
end

for _, source in ipairs(sources_of_events()) do
  local index = index_of('working', source)
  for _, id in ipairs(call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, left)) do
    local event = load_event(id)
    if event and event.s == 'working' then
      take_back(event)
      rescued = rescued + 1
    else
      forget_row(index, id)
    end
    left = left - 1
  end
end
write_moves()
return rescued
