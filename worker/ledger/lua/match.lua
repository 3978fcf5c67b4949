-- flags: no-writes
-- uses: classes
-- Choose those of a chunk of jobs that match a filter, by reading only the short fields that it names.
--
-- ARGV: 2 state, 3 reason, 4 class, 5 lane, 6 batch, 7 source, 8 changed before ms, 9 changed at or after ms,
-- 10 fewest attempts, 11 fewest requeues, each '' for any; 12… job ids.
-- Returns for each that matches, flat: its id, and when it changed, in ms.
local fields, values, least = { 't', 'c' }, {}, {}
local class_at, reason_at
for at, field in ipairs({ 's', 'r', 'rc', 'l', 'b' }) do
  local value = text(ARGV[at + 1])
  if value then
    fields[#fields + 1] = field
    values[#fields] = value
    if field == 'rc' then class_at = #fields end
  end
end
if class_at then
  fields[#fields + 1] = 'r'
  reason_at = #fields
end
local source, before, after = text(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
for at, field in ipairs({ 'a', 'q' }) do
  if ARGV[at + 9] ~= '' then
    fields[#fields + 1] = field
    least[#fields] = tonumber(ARGV[at + 9])
  end
end

local function has_values(row)
  for at = 3, #fields do
    local value = row[at]
    if at == class_at then value = class_now(value, row[reason_at]) end
    if least[at] and tonumber(value or 0) < least[at] then return false end
    if values[at] and value ~= values[at] then return false end
  end
  return true
end

local function is_of_time(changed)
  return not (before and changed >= before) and not (after and changed < after)
end

-- The ninth part of the header, read alone: `header_of` would take longer than all the rest.
local SOURCE = '^' .. string.rep('[^' .. US .. ']*' .. US, 8) .. '([^' .. US .. ']*)'

local function has_source(id)
  local whole = call('GET', K.invitation .. invitation_of(id))
  return whole and string.match(whole, SOURCE) == source
end

local found = {}
for at = 12, #ARGV do
  local id = ARGV[at]
  local row = call('HMGET', K.job .. id, unpack(fields))
  local changed = row[2] or row[1] -- false: no such job
  if changed and has_values(row) and is_of_time(tonumber(changed)) and (not source or has_source(id)) then
    found[#found + 1] = id
    found[#found + 1] = changed
  end
end
return found
