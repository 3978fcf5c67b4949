-- flags: allow-oom
-- uses: trail
-- Delete entries of the trail that are older than a time, the oldest first; one about a job stays as long as the
-- job's invitation does.
--
-- Those that stay are not looked at again until all old ones were: `trail_kept` in meta is how many of them there are
-- before the next to look at. ARGV: 2 ms before which, 3 most entries looked at. Returns {looked at, deleted}.
local before, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = tonumber(call('HGET', K.meta, 'trail_kept') or 0)
local looked, deleted = 0, 0

local function is_needed(subject)
  local inv = invitation_in(subject)
  return inv and call('EXISTS', K.invitation .. inv) == 1
end

local function delete(id, entry)
  for _, key in ipairs(trail_indexes(entry.a, entry.b, entry.s)) do call('ZREM', key, id) end
  call('DEL', K.trail_entry .. id)
end

local rows = call('ZRANGE', K.trail, kept, kept + most - 1, 'WITHSCORES')
for i = 1, #rows, 2 do
  if tonumber(rows[i + 1]) >= before then break end
  looked = looked + 1
  local entry = read(K.trail_entry .. rows[i], rows[i])
  if entry and is_needed(entry.s) then
    kept = kept + 1
  else
    if entry then delete(rows[i], entry) else call('ZREM', K.trail, rows[i]) end
    deleted = deleted + 1
  end
end
-- At the end of what is old, the next round begins with the oldest: their jobs may be gone by then.
if looked < most then kept = 0 end
if kept > 0 then call('HSET', K.meta, 'trail_kept', kept) else call('HDEL', K.meta, 'trail_kept') end
return { looked, deleted }
