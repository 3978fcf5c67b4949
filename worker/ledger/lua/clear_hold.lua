-- flags: allow-oom
-- uses: guards trail
-- Clear a scope's hold; it begins anew with a canary. ARGV: 2 scope, 3 by ('': our own, not accounted for), 4 why.
-- Returns the reason it was held for, or '' when it was not.
local reason = hold_reason(ARGV[2])
if not reason then return '' end
local waiting = call('HGET', K.tally .. ARGV[2], 'available') or '0'
clear_hold(ARGV[2])
if ARGV[3] ~= '' then account('clear_hold', ARGV[3], ARGV[4], ARGV[2], 'reason', reason, 'waiting', waiting) end
return reason
