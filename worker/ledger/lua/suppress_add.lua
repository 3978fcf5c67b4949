-- uses: trail
-- Put contacts on the stop list. ARGV: 2 by, 3 why, 4… contacts. Returns for each 1, or 0 where it stood there.
local added = {}
for at = 4, #ARGV do
  local fact = table.concat({ string.format('%.0f', now), for_trail(ARGV[2]), for_trail(ARGV[3]) }, US)
  added[#added + 1] = call('HSETNX', K.suppressed, ARGV[at], fact)
  if added[#added] == 1 then account('suppress', ARGV[2], ARGV[3], '', 'contact', ARGV[at]) end
end
return added
