-- flags: allow-oom
-- previewing -> expired: its set will not be whole. ARGV: 2 act, 3 why, in a word, 4 ms for which it is still told of.
-- Returns 1, or 0 (it was not being previewed).
local key = K.act .. ARGV[2]
if call('HGET', key, 'state') ~= 'previewing' then return 0 end
call('UNLINK', K.act_ids .. ARGV[2], K.act_marks .. ARGV[2])
call('HSET', key, 'state', 'expired', 'given_up', ARGV[3])
call('PEXPIRE', key, ARGV[4])
call('ZREM', K.act_previews, ARGV[2])
return 1
