-- Give a slot back that will not be used. The slot itself returns only while it is the newest (later ones
-- are promised already); a probe of the breaker returns in any case. Returns 1 when the slot returned.
--
-- ARGV  1 token of the slot   2 lane   3 '1' when it is a probe   4 now ('')

local token, lane, is_probe = ARGV[1], ARGV[2], ARGV[3] == '1'

if is_probe and state.breaker == 'half_open' then
  local open_places = field('probe_stage') - field('probes_good')
  redis.call('hset', key, 'probes_left', whole(math.min(open_places, field('probes_left') + 1)))
end
if state.last ~= token then return 0 end

redis.call('hset', key, 'tat', state.last_slot, 'bulk_due', state.last_bulk_due,
  'taken_' .. lane, whole(math.max(0, field('taken_' .. lane) - 1)))
redis.call('hdel', key, 'last')
return 1
