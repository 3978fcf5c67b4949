-- flags: no-writes
-- Count what stands in the buckets of one value or beginning, moment by moment, until that has cost enough.
-- ARGV: 2 the buckets' first signs, 3 how what counts begins, 4 the most it may cost, 5… moments.
-- Returns a count for each of the first moments: for all of them, or as many as were paid for, at least one.
local BUCKET, HIT = 1200, 60 -- what they cost beside a byte, which is 1: about a nanosecond
local beginning, counts, cost = '\n' .. ARGV[3], {}, 0
for at = 5, #ARGV do
  local whole, count_ = call('GET', K.search .. ARGV[2] .. ARGV[at]) or '', 0
  local found = string.find(whole, beginning, 1, true)
  while found do
    count_ = count_ + 1
    found = string.find(whole, beginning, found + 1, true)
  end
  counts[#counts + 1] = count_
  cost = cost + BUCKET + #whole + HIT * count_
  if cost >= tonumber(ARGV[4]) then break end
end
return counts
