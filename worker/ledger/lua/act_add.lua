-- uses: endings changing cancelling mending replacing sending trail acting
-- Weigh some ids for a bulk act that is being previewed, and keep those that are fit.
--
-- ARGV: 2 act, 3 how many were looked at before (a second one who previews it is sent away), 4… ids.
-- Returns {how many are looked at now, those that are fit}, or {} when it is not being previewed, or not by the caller.
local act = load_act(ARGV[2])
if not act or act.state ~= 'previewing' or act.seen ~= ARGV[3] then return {} end
local key, fit, messages, calls, newest = K.act .. act.id, {}, 0, 0, tonumber(act.newest or 0)
for at = 4, #ARGV do
  local refusal, subject = weigh(act, ARGV[at])
  if refusal then
    call('HINCRBY', key, 'not:' .. refusal, 1)
  else
    fit[#fit + 1] = ARGV[at]
    newest = math.max(newest, changed_at(subject))
    call('HINCRBY', key, 'why:' .. (subject.r or subject.s), 1)
    if is_message(ARGV[at]) then messages = messages + 1 end
    if act.act == 'replace' and first_step(subject) == 'rd' then calls = calls + 1 end
  end
end
if #fit > 0 then
  call('RPUSH', K.act_ids .. act.id, unpack(fit))
  call('HSET', key, 'newest', string.format('%.0f', newest))
end
if calls > 0 then call('HINCRBY', key, 'deletes', calls) end
if messages > 0 then call('HINCRBY', key, 'messages', messages) end
return { call('HINCRBY', key, 'seen', #ARGV - 3), fit }
