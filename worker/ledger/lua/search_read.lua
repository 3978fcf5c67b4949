-- flags: no-writes
-- Read who stands in the buckets of one value or beginning, until that has cost enough.
-- ARGV: 2 the buckets' first signs, 3 how what counts begins, 4 the most it may cost, 5… moments.
-- Returns how many of the moments were read, at least one, and behind it invitation ids.
local ID_SIGNS = 20
local BUCKET, HIT = 1200, 350 -- as in search_count
local beginning, ids, cost, read_ = '\n' .. ARGV[3], { 0 }, 0, 0
for at = 5, #ARGV do
  local whole = (call('GET', K.search .. ARGV[2] .. ARGV[at]) or '') .. '\n'
  local before = #ids
  local found = string.find(whole, beginning, 1, true)
  while found do
    local stop = string.find(whole, '\n', found + 1, true)
    ids[#ids + 1] = string.sub(whole, stop - ID_SIGNS, stop - 1)
    found = string.find(whole, beginning, stop, true)
  end
  read_ = read_ + 1
  cost = cost + BUCKET + #whole + HIT * (#ids - before)
  if cost >= tonumber(ARGV[4]) then break end
end
ids[1] = read_
return ids
