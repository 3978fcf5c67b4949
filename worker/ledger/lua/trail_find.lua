-- flags: no-writes
-- uses: trail
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

-- Return the smallest index, and whether it holds nothing but what is asked for.
local function smallest()
  local asked = {}
  if by then asked[#asked + 1] = K.trail_index .. 'by:' .. by end
  if act then asked[#asked + 1] = K.trail_index .. 'act:' .. act end
  if subject then asked[#asked + 1] = trail_index_of(subject) end
  local best, size
  for _, key in ipairs(asked) do
    local its_size = call('ZCARD', key)
    if not size or its_size < size then best, size = key, its_size end
  end
  local is_shared = subject and invitation_in(subject)
  return best or K.trail, #asked == 0 or (#asked == 1 and not is_shared)
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

-- A job is what was done to its messages, too; not what was done to its sisters.
local function is_about(its_subject)
  if its_subject == subject then return true end
  local inv = #subject == 21 and invitation_in(subject)
  return inv and string.sub(its_subject, 1, 21) == inv .. '.' or false
end

local function fits(id)
  local entry = call('HMGET', K.trail_entry .. id, 'b', 'a', 's')
  if not entry[1] then return false end
  local is_by = not by or entry[1] == by or string.match(entry[1], ':(.+)$') == by
  return is_by and (not act or entry[2] == act) and (not subject or is_about(entry[3]))
end

local index, is_whole = smallest()
local upper = before == math.huge and '+inf' or '(' .. string.format('%.0f', before)
local total = call('ZCOUNT', index, string.format('%.0f', first), upper)
local start = start_in(index)
local rows = call('ZREVRANGE', index, start, start + most_seen, 'WITHSCORES')
local reply, found, last = { total, is_whole and '1' or '0', '', '' }, 0, nil
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
  if fits(id) then
    found = found + 1
    reply[#reply + 1] = id
    for _, part in ipairs(call('HMGET', K.trail_entry .. id, 't', 'a', 'b', 'w', 's', 'd')) do
      reply[#reply + 1] = part
    end
  end
end
return reply
