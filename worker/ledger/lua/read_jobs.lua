-- flags: no-writes
-- Read jobs whole. ARGV: 2…: job ids.
-- Returns for each: {fields, long values, record}, none when there is no such job. With the long values of a failed one
-- `kept_since`: from when on it counts how long it is kept, which may be later or earlier than its last change.
local reply = {}
for at = 2, #ARGV do
  local id = ARGV[at]
  local fields = call('HGETALL', K.job .. id)
  if #fields == 0 then
    reply[#reply + 1] = {}
  else
    local extra, failed = call('HGETALL', K.extra .. id), call('ZSCORE', K.state .. 'failed', id)
    if failed then
      extra[#extra + 1] = 'kept_since'
      extra[#extra + 1] = failed
    end
    reply[#reply + 1] = { fields, extra, call('GET', K.invitation .. invitation_of(id)) }
  end
end
return reply
