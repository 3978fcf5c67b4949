-- flags: no-writes
-- Count those of a reason's newest failed jobs that an operator had requeued before.
-- ARGV: 2 reason, 3 most jobs looked at. Returns {jobs of the reason, looked at, of them requeued before}.
local key, again = K.failed .. ARGV[2], 0
local ids = call('ZREVRANGE', key, 0, ARGV[3] - 1)
for _, id in ipairs(ids) do
  if tonumber(call('HGET', K.job .. id, 'q') or 0) > 0 then again = again + 1 end
end
return { call('ZCARD', key), #ids, again }
