-- uses: endings search changing cancelling mending rewriting replacing sending trail acting
-- Take the next ids of a running act's set from the front, and do to each what the act does, or count why not.
--
-- What was taken is taken by this very script: however many drive the act, and whoever dies, it is each one's turn once.
-- ARGV: 2 act, 3 place where the caller believes it stands, 4 most ids, 5 how often the caller knows that it was let
-- go on: more of them went by an older canary. Returns how many were taken; 0 also when it stands elsewhere, or does
-- not run. An act whose last job has ended is done by it.
local act = load_act(ARGV[2])
if not act or act.state ~= 'running' or act.at ~= ARGV[3] or number_of(act, 'turn') ~= tonumber(ARGV[5]) then return 0 end
local at, done, marks, refused = tonumber(act.at), 0, {}, {}
local ids = tonumber(ARGV[4]) > 0 and call('LRANGE', K.act_ids .. act.id, at, at + ARGV[4] - 1) or {}
for n, id in ipairs(ids) do
  local why = act_on(act, id, at + n - 1)
  marks[n] = why and LETTERS[why] or 'd'
  if why then
    refused[why] = (refused[why] or 0) + 1
  else
    done = done + 1
  end
end
if #ids > 0 then
  call('SETRANGE', K.act_marks .. act.id, at, table.concat(marks))
  for why, count_ in pairs(refused) do call('HINCRBY', K.act .. act.id, 'refused:' .. why, count_) end
  if act.undo_of and done > 0 and call('EXISTS', K.act .. act.undo_of) == 1 then
    call('HINCRBY', K.act .. act.undo_of, 'undone', done)
  end
  change(act, 'at', at + #ids, 'done', number_of(act, 'done') + done, 'released', string.format('%.0f', now))
end
if is_over(act) then conclude_act(act) end
return #ids
