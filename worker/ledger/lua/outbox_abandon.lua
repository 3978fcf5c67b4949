-- flags: allow-oom
-- uses: outbox
-- sending -> sending, the lease over now: that process is known to be gone.
-- ARGV: 2 worker id. Returns how many. No more are under a lease at once than all processes send at once.
local prefix, ended = ARGV[2] .. '.', 0
for _, name in ipairs(call('HKEYS', K.sinks)) do
  for _, id in ipairs(call('ZRANGE', K.outbox_sending .. name, 0, 4999)) do
    local token = call('HGET', K.outbox .. id, 'l')
    if token and string.sub(token, 1, #prefix) == prefix then
      call('ZADD', K.outbox_sending .. name, 'LT', now, id)
      ended = ended + 1
    end
  end
end
return ended
