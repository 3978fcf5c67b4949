-- flags: no-writes
-- The workers that live. Returns worker, facts, …
local reply = {}
for _, id in ipairs(call('ZRANGEBYSCORE', K.workers, '(' .. string.format('%.0f', now), '+inf')) do
  reply[#reply + 1] = id
  reply[#reply + 1] = call('HGET', K.worker_facts, id) or '{}'
end
return reply
