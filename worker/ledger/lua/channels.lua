-- flags: no-writes
-- Count messages by channel and state; of a state with more than a sample, by slices of all of it: the newest alone
-- may be one channel's that were just sent again.
-- ARGV: 2 most messages looked at per state. Returns for each state: its name, how many, how many looked at, how many
-- channels, and for each of those its name and how many of those looked at are its.
local reply = {}
local function add(...)
  for _, value in ipairs({ ... }) do reply[#reply + 1] = value end
end

local SLICES = 10
local function sample(key, total, most)
  if total <= most then return call('ZREVRANGE', key, 0, -1) end
  local ids, each = {}, math.floor(most / SLICES)
  for nth = 0, SLICES - 1 do
    local from = math.floor(nth * (total - each) / (SLICES - 1))
    for _, id in ipairs(call('ZREVRANGE', key, from, from + each - 1)) do ids[#ids + 1] = id end
  end
  return ids
end

for _, state in ipairs({ 'sending', 'sent', 'in_doubt', 'failed', 'skipped' }) do
  local key, by_channel, names = K.delivery_state .. state, {}, {}
  local total = call('ZCARD', key)
  local ids = sample(key, total, tonumber(ARGV[2]))
  for _, id in ipairs(ids) do
    local channel = string.match(id, '^[^.]+%.([^.]+)%.')
    if channel then
      if not by_channel[channel] then names[#names + 1] = channel end
      by_channel[channel] = (by_channel[channel] or 0) + 1
    end
  end
  add(state, total, #ids, #names)
  for _, name in ipairs(names) do add(name, by_channel[name]) end
end
return reply
