-- flags: no-writes
-- uses: intake
-- Count the events of every source at one instant. ARGV: 2… the states. Returns source, a number per state, source, …
local reply = {}
for _, source in ipairs(sources_of_events()) do
  reply[#reply + 1] = source
  for at = 2, #ARGV do reply[#reply + 1] = call('ZCARD', index_of(ARGV[at], source)) end
end
return reply
