-- uses: search
-- Index invitations that were recorded before there was a search index. Again changes nothing.
-- ARGV: 2 invitation, 3 its search terms, … Returns how many were there.
local there = 0
for at = 2, #ARGV, 2 do
  if call('EXISTS', K.invitation .. ARGV[at]) == 1 then
    index(ARGV[at], ARGV[at + 1])
    there = there + 1
  end
end
return there
