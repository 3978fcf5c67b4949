-- uses: endings changing cancelling mending replacing sending trail acting
-- stopped -> running, with a canary of its own if it had one; not what is being taken back. ARGV: 2 act, 3 by, 4 why.
-- Returns {1, state} or {0, state or '', refusal}.
local act = load_act(ARGV[2])
if not act then return { 0, '', 'gone' } end
if act.state ~= 'stopped' then return { 0, act.state, 'not_stopped' } end
if act.undone_by then return { 0, act.state, 'taken_back' } end
change(act, 'state', 'running', 'latest', '', 'base_done', number_of(act, 'done'), 'base_ended', ended_of(act),
  'turn', number_of(act, 'turn') + 1)
call('HDEL', K.act .. act.id, 'stop', 'ended')
call('ZADD', K.acts_running, now, act.id)
account_act(act, 'continue', ARGV[3], ARGV[4])
return { 1, act.state }
