-- End the operator's pause, and let refused credentials be tried at once.
--
-- ARGV  1 '1' to end the partner's pause too   2 now ('')

redis.call('hdel', key, 'paused_until')
if ARGV[1] == '1' then redis.call('hdel', key, 'throttled_until') end
for name in pairs(state) do
  if string.sub(name, 1, 6) == 'probe:' then redis.call('hdel', key, name) end
end
return 1
