-- flags: allow-oom
-- uses: intake
-- working -> done | skipped | failed | waiting, for those who hold the leases.
--
-- ARGV: 2… six per event: id, token, the outcome's word, and three that depend on it: done: jobs, whether they stood
-- already, whether with another contact; skipped: reason, '', ''; failed: reason, problems, ''; retry: reason,
-- delay ms, most failures or ''.
-- Returns how many leases held; the same settle again counts, and changes nothing.
local WIDTH = 6
local OUTCOMES = {}

function OUTCOMES.done(event, jobs, stood_already, contact_differs)
  drop(event, 'r')
  put(event, 'j', jobs)
  if stood_already == '1' then put(event, 'w', 1) end
  if contact_differs == '1' then put(event, 'x', 1) end
  close_event(event, 'done')
end

function OUTCOMES.skipped(event, reason)
  put(event, 'r', reason)
  close_event(event, 'skipped')
end

function OUTCOMES.failed(event, reason, problems)
  drop(event, 'n')
  put(event, 'r', reason)
  if problems ~= '' then put(event, 'v', problems) end
  move_event(event, 'failed')
end

function OUTCOMES.retry(event, reason, delay_ms, most_failures)
  local failures = number_in(event, 'f')
  if most_failures ~= '' then
    failures = failures + 1
    put(event, 'f', failures)
    if failures >= tonumber(most_failures) then return OUTCOMES.failed(event, reason, '') end
  end
  local due = now + tonumber(delay_ms)
  drop(event, 'n')
  put(event, 'r', reason, 'd', due)
  move_event(event, 'waiting', due)
end

-- What is left of a token in an event that has ended: its chance, which tells a repeated settle from a stranger's.
local function short(token) return string.match(token, '[^.]*$') end

local function settle(id, token, outcome, ...)
  local event = load_event(id)
  if not event then return 0 end
  if event.s ~= 'working' or event.l ~= token then
    return event.s ~= 'working' and event.l == short(token) and 1 or 0
  end
  put(event, 'l', short(token))
  OUTCOMES[outcome](event, ...)
  return 1
end

local held = 0
for at = 2, #ARGV, WIDTH do held = held + settle(unpack(ARGV, at, at + WIDTH - 1)) end
write_moves()
return held
