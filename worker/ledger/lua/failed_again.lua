-- flags: no-writes
-- Count those of a reason's newest failures that an operator had let try again before.
-- ARGV: 2 'link' (jobs) or 'delivery' (messages), 3 reason, 4 most looked at.
-- Returns {how many failed by it, looked at, of them tried again before}.
local is_job = ARGV[2] == 'link'
local key, again = (is_job and K.failed or K.delivery_failed) .. ARGV[3], 0
local row, field = is_job and K.job or K.delivery, is_job and 'q' or 'm'
local ids = call('ZREVRANGE', key, 0, ARGV[4] - 1)
for _, id in ipairs(ids) do
  if tonumber(call('HGET', row .. id, field) or 0) > 0 then again = again + 1 end
end
return { call('ZCARD', key), #ids, again }
