-- flags: allow-oom
-- uses: endings changing cancelling mending replacing sending trail acting
-- running -> stopped: no more is taken; what was requeued goes on.
--
-- ARGV: 2 act, 3 by, 4 why, 5 what it came to (JSON), 6 the latest ends by which that was decided, or '' for a person's
-- word. Returns {1, state} or {0, state or '', refusal}.
local act = load_act(ARGV[2])
if not act then return { 0, '', 'gone' } end
if act.state ~= 'running' or (ARGV[6] ~= '' and act.latest ~= ARGV[6]) then return { 0, act.state, 'not_running' } end
stop_act(act, ARGV[3], ARGV[4], ARGV[5])
return { 1, act.state }
