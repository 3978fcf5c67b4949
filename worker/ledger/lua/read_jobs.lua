-- flags: no-writes
-- Read jobs whole. ARGV: 2…: job ids.
-- Returns for each: {fields, long values, record, due or lease end}, all false when there is no such job.
local reply = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  local fields = call('HGETALL', K.job .. id)
  if #fields == 0 then
    reply[#reply + 1] = {}
  else
    reply[#reply + 1] = { fields, call('HGETALL', K.extra .. id), call('GET', K.invitation .. invitation_of(id)) }
  end
end
return reply
