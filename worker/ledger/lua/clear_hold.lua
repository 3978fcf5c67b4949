-- flags: allow-oom
-- uses: guards trail
-- Clear a scope's hold; it begins anew with a canary. ARGV: 2 scope, 3 by ('': our own, not accounted for), 4 why,
-- 5 since when the hold stands that was seen, in ms, or '' for any. Returns the reason it was held for, or '' when it was
-- not, or by another hold than that.
local reason = hold_reason(ARGV[2])
if not reason or (ARGV[5] ~= '' and call('HGET', K.holds, ARGV[2]) ~= reason .. US .. ARGV[5]) then return '' end
local waiting = call('HGET', K.tally .. ARGV[2], 'available') or '0'
clear_hold(ARGV[2])
if ARGV[3] ~= '' then account('clear_hold', ARGV[3], ARGV[4], ARGV[2], 'reason', reason, 'waiting', waiting) end
return reason
