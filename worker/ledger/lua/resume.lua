-- flags: allow-oom
-- uses: guards trail
-- End the pauses of scopes, and clear holds; what was held begins anew with a canary.
--
-- ARGV: 2 by ('': a test's or our own, not accounted for), 3 why, 4 target as it was named, 5 how many scopes to end the
-- pauses of, then these, then scopes to clear the holds of. Returns the scopes whose holds were cleared.
local cleared, told, pauses = {}, {}, tonumber(ARGV[5])
for i = 6, #ARGV do
  if i < 6 + pauses then
    call('SREM', K.pauses, ARGV[i])
  else
    local reason = hold_reason(ARGV[i])
    if clear_hold(ARGV[i]) == 1 then
      cleared[#cleared + 1] = ARGV[i]
      told[#told + 1] = ARGV[i] .. ' (' .. reason .. ')'
    end
  end
end
if ARGV[2] ~= '' then account('resume', ARGV[2], ARGV[3], ARGV[4], 'holds_cleared', table.concat(told, ', ')) end
return cleared
