-- flags: allow-oom
-- uses: trail
-- Delete entries of the trail that are older than a time, the oldest first. ARGV: 2 ms before which, 3 most entries.
-- Returns how many.
local ids = call('ZRANGEBYSCORE', K.trail, '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  local entry = read(K.trail_entry .. id, id)
  if entry then
    for _, key in ipairs(trail_indexes(entry.a, entry.b, entry.s)) do call('ZREM', key, id) end
    call('DEL', K.trail_entry .. id)
  else
    call('ZREM', K.trail, id)
  end
end
return #ids
