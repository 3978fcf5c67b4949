-- Record a batch; opening it again changes nothing but a missing total. ARGV: 2 batch, then field, value, ….
local key = K.batch .. ARGV[2]
for at = 3, #ARGV, 2 do
  if ARGV[at + 1] ~= '' then call('HSETNX', key, ARGV[at], ARGV[at + 1]) end
end
call('HSETNX', key, 'opened', now)
call('ZADD', K.batches, 'NX', now, ARGV[2])
return 1
