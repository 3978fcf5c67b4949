-- flags: allow-oom
-- uses: intake
-- working -> the same, the lease over now: that process is known to be gone.
--
-- ARGV: 2 worker id, 3 source, 4 first rank, 5 most rows. Returns {rows looked at, leases ended}.
-- Ended leases move to the front of the index, among those seen already: the ranks behind stand still.
local prefix, index = ARGV[2] .. '.', index_of('working', ARGV[3])
local ids = call('ZRANGE', index, ARGV[4], ARGV[4] + ARGV[5] - 1)
local ended = 0
for _, id in ipairs(ids) do
  local token = try('HGET', K.intake .. id, 'l')
  if token and string.sub(token, 1, #prefix) == prefix then
    call('ZADD', index, 'LT', now, id)
    ended = ended + 1
  end
end
return { #ids, ended }
