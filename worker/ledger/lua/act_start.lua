-- uses: endings changing cancelling mending replacing sending trail acting
-- previewed -> running, once. More than one needs a why; many have a lane of their own, and a canary if requeued. What
-- an act takes back does not go on beside it.
--
-- ARGV: 2 act, 3 by, 4 why, 5 '1' with a canary, 6 lane of many, 7 most that are few, 8 ms after which a preview is
-- too old, 9 why another is stopped by it (JSON). Returns {1, state} or {0, state or '', refusal}.
local act = load_act(ARGV[2])
if not act then return { 0, '', 'gone' } end
if act.state == 'previewing' then return { 0, act.state, 'previewing' } end
if act.state == 'previewed' and now - act.created > tonumber(ARGV[8]) then return { 0, act.state, 'expired' } end
if act.state ~= 'previewed' then return { 0, act.state, act.state == 'expired' and 'expired' or 'already_started' } end
local total = number_of(act, 'total')
if total == 0 then return { 0, act.state, 'nothing_eligible' } end
if total > 1 and not string.find(ARGV[4], '%S') then return { 0, act.state, 'why_missing' } end

local is_bulk = total > tonumber(ARGV[7])
local canary = is_bulk and MAKES_CALLS[act.act] and ARGV[5] or '0'
change(act, 'state', 'running', 'by', ARGV[3], 'why', ARGV[4], 'canary', canary, 'started', string.format('%.0f', now))
if is_bulk then change(act, 'lane', ARGV[6]) end
call('ZREM', K.act_previews, act.id)
call('ZADD', K.acts, now, act.id)
call('ZADD', K.acts_running, now, act.id)
local undone = act.undo_of and load_act(act.undo_of)
if undone then
  change(undone, 'undone_by', act.id)
  if undone.state == 'running' then stop_act(undone, ARGV[3], ARGV[4], ARGV[9]) end
end
account_act(act, 'start', ARGV[3], ARGV[4], 'canary', canary, 'undo_of', act.undo_of or '')
return { 1, act.state }
