-- flags: no-writes
-- uses: intake
-- Return the sources of which an event waits and is due.
local due = {}
local until_now = string.format('(%.0f', now + 1)
for _, source in ipairs(sources_of_events()) do
  if #call('ZRANGEBYSCORE', index_of('waiting', source), '-inf', until_now, 'LIMIT', 0, 1) > 0 then
    due[#due + 1] = source
  end
end
return due
