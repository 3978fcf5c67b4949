-- flags: no-writes
-- Read some of a batch's jobs whole, with their messages. ARGV: 2 batch, 3 first, 4 how many.
-- Returns for each: {job id, fields, long values, record, {delivery id, its fields, …}}, or {job id} for one that was
-- pruned.
local function messages_of(inv)
  local found = {}
  for _, id in ipairs(call('LRANGE', K.deliveries .. inv, 0, -1)) do
    found[#found + 1] = id
    found[#found + 1] = call('HGETALL', K.delivery .. id)
  end
  return found
end

local reply = {}
for _, id in ipairs(call('LRANGE', K.batch_jobs .. ARGV[2], ARGV[3], ARGV[3] + ARGV[4] - 1)) do
  local fields, inv = call('HGETALL', K.job .. id), invitation_of(id)
  if #fields == 0 then
    reply[#reply + 1] = { id }
  else
    reply[#reply + 1] = { id, fields, call('HGETALL', K.extra .. id), call('GET', K.invitation .. inv), messages_of(inv) }
  end
end
return reply
