-- flags: allow-oom
-- Forget bulk acts that were started long ago, and let go of sets that nobody started in time.
--
-- ARGV: 2 ms before which an act was started, 3 ms before which a preview was asked for, 4 ms for which an expired one
-- is still told of, 5 most acts. Returns {acts forgotten, previews expired}.
local function forget(id) call('UNLINK', K.act_ids .. id, K.act_marks .. id) end

local forgotten = 0
for _, id in ipairs(call('ZRANGEBYSCORE', K.acts, '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[5])) do
  if not call('ZSCORE', K.acts_running, id) then
    forget(id)
    call('DEL', K.act .. id)
    call('ZREM', K.acts, id)
    forgotten = forgotten + 1
  end
end
local expired = call('ZRANGEBYSCORE', K.act_previews, '-inf', '(' .. ARGV[3], 'LIMIT', 0, ARGV[5])
for _, id in ipairs(expired) do
  forget(id)
  call('HSET', K.act .. id, 'state', 'expired')
  call('PEXPIRE', K.act .. id, ARGV[4])
  call('ZREM', K.act_previews, id)
end
return { forgotten, #expired }
