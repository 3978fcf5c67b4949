-- The trail: an entry for each act of an operator, with who did it and why.
--
-- An entry's hash: t at · a act · b by · w why · s subject · d names and values, joined by US
local LONGEST_IN_TRAIL = 20000 -- bytes: an edit's before and after

local function for_trail(value)
  local plain = string.gsub(tostring(value or ''), US, ' ')
  if #plain <= LONGEST_IN_TRAIL then return plain end
  -- Never in the middle of a letter.
  return (string.gsub(string.sub(plain, 1, LONGEST_IN_TRAIL), '[\192-\255]?[\128-\191]*$', ''))
end

-- Return the invitation of a job or message, nil for any other subject: an entry about either is found by the job.
local function invitation_in(subject)
  local inv, rest = string.sub(subject, 1, 20), string.sub(subject, 21)
  if not string.match(inv, '^%w+$') or #inv < 20 then return nil end
  return (string.match(rest, '^%w$') or string.match(rest, '^%.')) and inv or nil
end

local function trail_index_of(subject) return K.trail_index .. 'of:' .. (invitation_in(subject) or subject) end

-- Return the indexes an entry stands in. `cli:dana` is found by `dana`, too.
local function trail_indexes(act, by, subject)
  local keys = { K.trail, K.trail_index .. 'act:' .. act, K.trail_index .. 'by:' .. by }
  local name = string.match(by, ':(.+)$')
  if name then keys[#keys + 1] = K.trail_index .. 'by:' .. name end
  if subject ~= '' then keys[#keys + 1] = trail_index_of(subject) end
  return keys
end

-- Leave an entry: account(act, by, why, subject, name, value, …). Return its id.
local function account(act, by, why, subject, ...)
  -- Padded, so that entries of one millisecond sort in the order they were made.
  local id = string.format('%012d', call('HINCRBY', K.meta, 'trail', 1))
  local detail = { ... }
  for i = 1, #detail do detail[i] = for_trail(detail[i]) end
  act, by, subject = for_trail(act), for_trail(by), for_trail(subject)
  call('HSET', K.trail_entry .. id, 't', string.format('%.0f', now), 'a', act, 'b', by, 'w', for_trail(why),
    's', subject, 'd', table.concat(detail, US))
  for _, key in ipairs(trail_indexes(act, by, subject)) do call('ZADD', key, now, id) end
  return id
end
