-- uses: endings sending reminding
-- Make the reminders of one number that are due: a bounded look at the messages that were sent, from the oldest that
-- was not looked at on. Nobody's job is kept on a list for it: the messages that were sent are one already.
--
-- The first look begins with what falls due now, and none looks back further than MOST_LATE_MS: switching reminders on,
-- or workers that were away, never reminds of links that are weeks old.
-- ARGV: 2 number, 3 ms after the message, 4 most messages. Returns {deliveries made, 1 if more are to be looked at}.
local number, delay, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local sent, place = K.delivery_state .. 'sent', 'reminded:' .. ARGV[2]

-- The rank to go on from. Messages of one ms are looked at again where the last of them is gone: that does no harm.
local function rank_after(at, id)
  local stands = id ~= '' and call('ZSCORE', sent, id)
  if stands and tonumber(stands) == at then return call('ZRANK', sent, id) + 1 end
  return call('ZCOUNT', sent, '-inf', string.format('(%.0f', at))
end

local function remind(id)
  local inv, _, template = split(id)
  local header = template == TEMPLATE and header_of(inv)
  local open = header and open_links(inv, header)
  -- One that waits is not joined by the next.
  if not open or open.made[number] or open.last > number or open.is_reminding then return 0 end
  local due, made = open.since + delay, 0
  -- Not due: its days are counted from a later message, which brings it up again.
  if due > now or due < now - MOST_LATE_MS then return 0 end
  for channel in string.gmatch(header.channels, '[^,]+') do
    if open.channels[channel] and (header.policy == 'all' or made == 0) then
      if add_delivery(inv, channel, number, open.codes, 'pending', nil, REMINDER) then made = made + 1 end
    end
  end
  return made
end

local last = call('HGET', K.meta, place)
local at, id = string.match(last or '', '^(%d+) (.*)$')
at, id = tonumber(at) or now - delay, id or ''
if at < now - delay - MOST_LATE_MS then at, id = now - delay - MOST_LATE_MS, '' end
local start, made, seen = rank_after(at, id), 0, 0
local rows = call('ZRANGE', sent, start, start + most - 1, 'WITHSCORES')
for row = 1, #rows, 2 do
  if tonumber(rows[row + 1]) > now - delay then break end
  id, at, seen = rows[row], tonumber(rows[row + 1]), seen + 1
  made = made + remind(id)
end
if seen > 0 or not last then call('HSET', K.meta, place, string.format('%.0f %s', at, id)) end
return { made, seen == most and 1 or 0 }
