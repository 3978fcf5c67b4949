-- flags: no-writes
-- uses: classes
-- Choose those of a chunk of failed deliveries that match a filter.
--
-- ARGV: 2 reason, 3 class, 4 changed before ms, 5 changed at or after ms, 6 lane, 7 batch, 8 source, each '' for any;
-- 9… delivery ids. Lane and batch are those of the job whose link it carries (the first, where there are several).
-- Returns for each that matches, flat: its id, and since when it is failed, in ms.
local reason, class, before, after = text(ARGV[2]), text(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local lane, batch, source = text(ARGV[6]), text(ARGV[7]), text(ARGV[8])

local function has_job(inv, codes)
  if not lane and not batch then return true end
  local row = call('HMGET', K.job .. inv .. string.sub(codes, 1, 1), 'l', 'b')
  return (not lane or row[1] == lane) and (not batch or row[2] == batch)
end

local found = {}
for at = 9, #ARGV do
  local id = ARGV[at]
  local row = call('HMGET', K.delivery .. id, 's', 'r', 'rc', 'c', 'j')
  local is_meant = (not reason or row[2] == reason) and (not class or class_now(row[3], row[2]) == class)
  if row[1] == 'failed' and is_meant then
    local changed, inv = tonumber(row[4]), string.match(id, '^[^.]+')
    local is_of_time = not (before and changed >= before) and not (after and changed < after)
    if is_of_time and has_job(inv, row[5]) and (not source or source_of(inv) == source) then
      found[#found + 1] = id
      found[#found + 1] = row[4]
    end
  end
end
return found
