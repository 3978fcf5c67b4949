-- flags: allow-oom
-- running | sending -> the same, the lease over now: that process is known to be gone.
--
-- ARGV: 2 worker id, 3 'job' or 'delivery', 4 first rank, 5 most rows. Returns {rows looked at, leases ended}.
-- Ended leases move to the front of the index, among those seen already: the ranks behind stand still.
local prefix, is_job = ARGV[2] .. '.', ARGV[3] == 'job'
local index = is_job and K.state .. 'running' or K.delivery_state .. 'sending'
local ids = call('ZRANGE', index, ARGV[4], ARGV[4] + ARGV[5] - 1)
local ended = 0
for _, id in ipairs(ids) do
  local token = call('HGET', (is_job and K.job or K.delivery) .. id, 'k')
  if token and string.sub(token, 1, #prefix) == prefix then
    call('ZADD', index, 'LT', now, id)
    ended = ended + 1
  end
end
return { #ids, ended }
