-- flags: allow-oom
-- Say that a worker lives, and forget those that have not said so in time. ARGV: 2 worker, 3 facts (JSON), 4 ms.
for _, id in ipairs(call('ZRANGEBYSCORE', K.workers, '-inf', now, 'LIMIT', 0, 100)) do
  call('ZREM', K.workers, id)
  call('HDEL', K.worker_facts, id)
end
call('ZADD', K.workers, now + tonumber(ARGV[4]), ARGV[2])
call('HSET', K.worker_facts, ARGV[2], ARGV[3])
return 1
