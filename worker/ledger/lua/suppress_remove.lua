-- flags: allow-oom
-- uses: trail
-- Take contacts off the stop list. ARGV: 2 by, 3 why, 4… contacts. Returns for each 1, or 0 where it did not stand there.
local removed = {}
for at = 4, #ARGV do
  removed[#removed + 1] = call('HDEL', K.suppressed, ARGV[at])
  if removed[#removed] == 1 then account('unsuppress', ARGV[2], ARGV[3], '', 'contact', ARGV[at]) end
end
return removed
