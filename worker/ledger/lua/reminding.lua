-- Reminders: of which links, by which channels, and from when the days are counted. After `endings` and `sending`.

local REMINDER = 'reminder'

-- Read an invitation's messages: when each generation first went out, which channels bring them (the latest of each
-- that came to an end), which reminders were made, and whether one of them is still to go out.
local function read_messages(inv)
  local seen = { sent = {}, channels = {}, made = {}, last = 0, is_reminding = false }
  for _, id in ipairs(call('LRANGE', K.deliveries .. inv, 0, -1)) do
    local _, channel, template, generation = split(id)
    local row = call('HMGET', K.delivery .. id, 's', 'c')
    local state, at = row[1], tonumber(row[2] or 0)
    if template == REMINDER then
      seen.made[generation] = true
      seen.last = math.max(seen.last, generation)
      seen.is_reminding = seen.is_reminding or state == 'pending' or state == 'sending'
    elseif state == 'sent' then
      seen.sent[generation] = math.min(seen.sent[generation] or math.huge, at)
      seen.channels[channel] = true
    elseif state == 'failed' or state == 'skipped' then
      seen.channels[channel] = nil
    end
  end
  return seen
end

-- Return what the customer has been sent and has not finished: `codes` of the links, `since` when, and what
-- `read_messages` tells; nil where there is nothing to remind of. A message that brought a link in place of another
-- starts the days anew; while such a link is being made, or has not been sent yet, nobody is reminded.
local function open_links(inv, header)
  local seen = read_messages(inv)
  local codes, first, replaced = '', nil, nil
  for code in string.gmatch(header.products, '.') do
    local job = call('HMGET', K.job .. inv .. code, 's', 'w', 'op')
    if job[3] and OPEN[job[1]] then return nil end
    if job[1] == 'linked' then
      local told = job[2] and seen.sent[tonumber(job[2])]
      local is_replaced = call('HGET', K.extra .. inv .. code, 'replaced')
      if is_replaced and not told then return nil end
      if told then
        codes = codes .. code
        if is_replaced then
          replaced = math.max(replaced or 0, told)
        else
          first = math.min(first or math.huge, told)
        end
      end
    end
  end
  if codes == '' then return nil end
  seen.codes, seen.since = codes, replaced or first
  return seen
end

-- How late a reminder may be, beside what the send window keeps it for: a day later it would only puzzle.
local MOST_LATE_MS = 86400000

-- Return why a reminder that is claimed is not to be sent any more, or nil. An operator's own asking stands.
local function too_late_for(delivery, open)
  if not open then return 'reminder_overtaken' end
  if delivery.m then return nil end
  if open.since > tonumber(delivery.t) then return 'reminder_overtaken' end
  if now - tonumber(delivery.d) > MOST_LATE_MS then return 'reminder_late' end
  return nil
end
