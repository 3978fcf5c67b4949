-- flags: no-writes
-- Count what stands in the buckets of one value or beginning, moment by moment.
-- ARGV: 2 the buckets' first signs, 3 how what counts begins, 4… moments. Returns a count for each.
local beginning, counts = '\n' .. ARGV[3], {}
for at = 4, #ARGV do
  local whole, count_ = call('GET', K.search .. ARGV[2] .. ARGV[at]), 0
  local found = whole and string.find(whole, beginning, 1, true)
  while found do
    count_ = count_ + 1
    found = string.find(whole, beginning, found + 1, true)
  end
  counts[#counts + 1] = count_
end
return counts
