-- previewing -> previewed: the set is whole.
--
-- ARGV: 2 act, 3 how many were looked at, 4… of what was counted without looking: why it is not fit, how many, in turns.
-- Returns 1, or 0 (not to be frozen).
local key = K.act .. ARGV[2]
local standing = call('HMGET', key, 'state', 'seen', 'newest')
if standing[1] ~= 'previewing' or standing[2] ~= ARGV[3] then return 0 end
for at = 4, #ARGV, 2 do
  call('HINCRBY', key, 'not:' .. ARGV[at], ARGV[at + 1])
  call('HINCRBY', key, 'seen', ARGV[at + 1])
end
-- Some may have changed in the future: the clock was set back since.
local frozen = math.max(now, tonumber(standing[3] or 0))
call('HSET', key, 'state', 'previewed', 'total', call('LLEN', K.act_ids .. ARGV[2]), 'frozen', string.format('%.0f', frozen))
return 1
