-- flags: no-writes
-- Read the trail, newest first, from the smallest index that holds all that is asked for.
--
-- ARGV: 2 by or '', 3 act or '', 4 subject or '', 5 first ms or '', 6 ms before which or '', 7 and 8 the time and the
-- id of the entry behind which to go on, or '', 9 most entries, 10 most looked at.
-- Returns {how many the index holds, '1' if nothing is left to match, time and id to go on behind or '', then
-- id and fields of each entry}.
local by, act, subject = text(ARGV[2]), text(ARGV[3]), text(ARGV[4])
local first, before = tonumber(ARGV[5]) or 0, tonumber(ARGV[6]) or math.huge
local after_time, after_id = tonumber(ARGV[7]), ARGV[8]
local most, most_seen = tonumber(ARGV[9]), tonumber(ARGV[10])

local function smallest()
  local best, size, asked = K.trail, call('ZCARD', K.trail), 0
  for kind, value in pairs({ by = by, act = act, of = subject }) do
    local key = K.trail_index .. kind .. ':' .. value
    local its_size = call('ZCARD', key)
    asked = asked + 1
    if its_size < size or best == K.trail then best, size = key, its_size end
  end
  return best, asked
end

-- The rank, from the newest, of the first entry to look at.
local function start_in(index)
  if not after_time then
    return before == math.huge and 0 or call('ZCOUNT', index, string.format('%.0f', before), '+inf')
  end
  local score = string.format('%.0f', after_time)
  local rank = call('ZCOUNT', index, '(' .. score, '+inf')
  for _, id in ipairs(call('ZREVRANGEBYSCORE', index, score, score)) do
    if id >= after_id then rank = rank + 1 end
  end
  return rank
end

local function fits(entry)
  local name = by and (entry.b == by or string.match(entry.b, ':(.+)$') == by)
  return (not by or name) and (not act or entry.a == act) and (not subject or entry.s == subject)
end

local index, asked = smallest()
local upper = before == math.huge and '+inf' or '(' .. string.format('%.0f', before)
local total = call('ZCOUNT', index, string.format('%.0f', first), upper)
local start = start_in(index)
local rows = call('ZREVRANGE', index, start, start + most_seen, 'WITHSCORES')
local reply, found, last = { total, asked <= 1 and '1' or '0', '', '' }, 0, nil
for i = 1, #rows, 2 do
  local id, at = rows[i], tonumber(rows[i + 1])
  if at < first then
    last = nil
    break
  end
  if found == most or i > 2 * most_seen then
    reply[3], reply[4] = string.format('%.0f', last.at), last.id
    break
  end
  last = { at = at, id = id }
  local entry = read(K.trail_entry .. id, id)
  if entry and fits(entry) then
    found = found + 1
    for _, part in ipairs({ id, entry.t, entry.a, entry.b, entry.w, entry.s, entry.d }) do reply[#reply + 1] = part end
  end
end
return reply
