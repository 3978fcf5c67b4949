-- uses: intake
-- waiting -> working, under leases, for events of one source that are due; the oldest first.
--
-- What was started twice without an end comes alone: if one of a hundred kills its process, it does so to itself only.
-- ARGV: 2 source, 3 token, 4 lease ms, 5 most rows.
-- Returns lease end, then for each: id, the sender's key, body, attempt, failures, received at.
local ALONE_AFTER = 2
local MOST_BYTES = 1048576 -- of bodies in one answer, but for the first: a script stays short, and so does the answer
local index, lease_end = index_of('waiting', ARGV[2]), now + tonumber(ARGV[4])
local reply, bytes = { string.format('%.0f', lease_end) }, 0

local function take(event, body)
  put(event, 'a', number_in(event, 'a') + 1, 'n', number_in(event, 'n') + 1, 'l', ARGV[3])
  drop(event, 'd')
  move_event(event, 'working', lease_end)
  bytes = bytes + #body
  for _, value in ipairs({ event.id, event.k or '', body, event.a, event.f or 0, event.t or now }) do
    reply[#reply + 1] = value
  end
end

local ids = call('ZRANGEBYSCORE', index, '-inf', string.format('(%.0f', now + 1), 'LIMIT', 0, tonumber(ARGV[5]))
for nth, id in ipairs(ids) do
  local event = load_event(id)
  if not event or event.s ~= 'waiting' then
    forget_row(index, id)
  else
    local body = try('GET', K.intake_body .. id)
    local is_alone = number_in(event, 'n') >= ALONE_AFTER
    if not body then
      put(event, 'r', 'body_missing')
      move_event(event, 'failed')
    elseif #reply > 1 and (is_alone or bytes + #body > MOST_BYTES) then
      break
    else
      take(event, body)
      if is_alone then break end
    end
  end
end
write_moves()
return reply
