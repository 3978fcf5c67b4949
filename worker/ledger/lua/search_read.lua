-- flags: no-writes
-- Read who stands in the buckets of one value or beginning.
-- ARGV: 2 the buckets' first signs, 3 how what counts begins, 4… moments. Returns invitation ids.
local ID_SIGNS = 20
local beginning, ids = '\n' .. ARGV[3], {}
for at = 4, #ARGV do
  local whole = (call('GET', K.search .. ARGV[2] .. ARGV[at]) or '') .. '\n'
  local found = string.find(whole, beginning, 1, true)
  while found do
    local stop = string.find(whole, '\n', found + 1, true)
    ids[#ids + 1] = string.sub(whole, stop - ID_SIGNS, stop - 1)
    found = string.find(whole, beginning, stop, true)
  end
end
return ids
